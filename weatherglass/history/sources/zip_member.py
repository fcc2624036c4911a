"""One file of a zip, read into memory: every fault is an error that names the zip, the file and the way out."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path, PurePosixPath

from weatherglass.history.sources import SourceError

MAX_ZIP_BYTES = 500_000_000
"""The data set has about 12 MB; a much larger file is another one."""
MAX_MEMBER_BYTES = 200_000_000
"""Uncompressed; the largest file of the data set has about 15 MB."""
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NAMES = {9: "Deflate64", 12: "BZIP2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
"""APPNOTE.TXT, section 4.4.5. Windows' Explorer uses Deflate64 for large files."""
_ENCRYPTED = 0x1
_ZIP_AGAIN = "extract it and zip the files again (`unzip OLD.zip -d folder`, then `zip -j NEW.zip folder/*.csv`)"


class ZipErrorCode(StrEnum):
    NO_FILE = "no_file"
    TOO_LARGE = "too_large"
    NO_ZIP = "no_zip"
    """Not a zip, or its directory at the end is missing or damaged."""
    NO_MEMBER = "no_member"
    SEVERAL_MEMBERS = "several_members"
    ENCRYPTED = "encrypted"
    COMPRESSION = "compression"
    DAMAGED = "damaged"


class ZipError(SourceError):
    """A file of a zip cannot be read.

    Attributes:
        member: name of the file without folder.
    """

    def __init__(self, zip_path: Path, member: str, code: ZipErrorCode, message: str):
        super().__init__(f"{zip_path}, {member}: {message}")
        self.code = code
        self.member = member


def read_member(zip_path: Path, name: str) -> bytes:
    """Return the content of a file, in whichever folder of the zip and in whichever case its name is.

    Raises:
        ZipError: the zip or the file is missing, damaged, too large, encrypted, or compressed in another way; several
            files have the name.
    """

    def error(code: ZipErrorCode, message: str) -> ZipError:
        return ZipError(zip_path, name, code, message)

    try:
        if zip_path.stat().st_size > MAX_ZIP_BYTES:
            raise error(ZipErrorCode.TOO_LARGE, f"the zip is larger than {MAX_ZIP_BYTES:,} bytes: another data set")
        with zipfile.ZipFile(zip_path) as archive:
            info = _find(archive, name, error)
            with archive.open(info) as file:
                content = file.read(MAX_MEMBER_BYTES + 1)
    except ZipError:
        raise
    except FileNotFoundError:
        message = "the zip does not exist: set WEATHERGLASS_KAGGLE_ZIP to the downloaded zip"
        raise error(ZipErrorCode.NO_FILE, message) from None
    except zipfile.BadZipFile as problem:
        # Raised for the directory of the zip, and for a checksum or header of the file.
        is_zip = zipfile.is_zipfile(zip_path)
        code = ZipErrorCode.DAMAGED if is_zip else ZipErrorCode.NO_ZIP
        raise error(code, f"{'damaged' if is_zip else 'not a zip'} ({problem}); download it again") from problem
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error, struct.error) as problem:
        raise error(ZipErrorCode.DAMAGED, f"damaged ({problem}); download it again") from problem
    if len(content) > MAX_MEMBER_BYTES:
        raise error(ZipErrorCode.TOO_LARGE, _too_large(len(content)))
    return content


def _find(archive: zipfile.ZipFile, name: str, error: Callable[[ZipErrorCode, str], ZipError]) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if _base_name(info.filename) == name]
    if not found:
        raise error(ZipErrorCode.NO_MEMBER, "not in the zip; Kaggle's 'Historical Hourly Weather Data' has it")
    if len(found) > 1:
        names = ", ".join(info.filename for info in found[:3])
        raise error(ZipErrorCode.SEVERAL_MEMBERS, f"{len(found)} times in the zip ({names}); {_ZIP_AGAIN}")
    [info] = found
    if info.flag_bits & _ENCRYPTED:
        raise error(ZipErrorCode.ENCRYPTED, f"protected by a password; {_ZIP_AGAIN}")
    if info.compress_type not in COMPRESSIONS:
        method = _NAMES.get(info.compress_type, f"method {info.compress_type}")
        raise error(ZipErrorCode.COMPRESSION, f"compressed with {method}, which is not supported; {_ZIP_AGAIN}")
    if info.file_size > MAX_MEMBER_BYTES:
        raise error(ZipErrorCode.TOO_LARGE, _too_large(info.file_size))
    return info


def _base_name(name: str) -> str | None:
    """Return the name without folder, in lower case; None for a name that leaves the folder or is a copy of macOS."""
    path = PurePosixPath(name.replace("\\", "/"))
    return None if ".." in path.parts or path.parts[:1] == ("__MACOSX",) else path.name.lower()


def _too_large(size: int) -> str:
    return f"{size:,} bytes uncompressed, at most {MAX_MEMBER_BYTES:,} are read: this is another data set"
