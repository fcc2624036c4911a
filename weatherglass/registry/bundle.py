"""A registered model as one file, to carry from where it was trained to where it serves.

A zip with the model's files (its card among them) and `parcel.json`: the kind, what the registry knows of the version,
and the SHA-256 of every file. Opening one trusts nothing in it: names, sizes and checksums are checked before a file is
written, then the model is loaded as its kind is, which executes nothing (text, JSON, arrays without pickle).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from weatherglass.files import replacing
from weatherglass.registry.artifact import MANIFEST, ModelFileError
from weatherglass.registry.catalog import registered
from weatherglass.registry.registry import ModelVersion, Registry
from weatherglass.settings import Settings

ABOUT = "parcel.json"
FORMAT = 1
LARGEST = 1 << 30
"""Bytes of all files together; more is no model of ours."""
MOST_FILES = 500
Loaders = Mapping[str, Callable[[Path], object]]
"""Kind of model -> what loads its folder, which raises `ModelFileError` where it cannot be used."""


class BundleError(ValueError):
    """A file that is no parcel of ours, or was changed; the message names it and what is wrong."""


@dataclass(frozen=True)
class BundleInfo:
    """What a parcel says of its model; `exported_version` is its version where it was exported."""

    kind: str
    exported_version: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


def export_bundle(settings: Settings, version: ModelVersion, file: Path, loaders: Loaders) -> str:
    """Write a version into a new file, whole or not at all; its SHA-256.

    Raises:
        ModelFileError: the registered model is not what it was.
    """
    loaders[version.kind](version.folder)
    known = next(one for one in registered(settings) if (one.kind, one.version) == (version.kind, version.version))
    tags = {name: value for name, value in known.tags.items() if name != "folder"}
    about = BundleInfo(version.kind, version.version, tags, known.params, known.metrics)
    contents = {path.name: path.read_bytes() for path in sorted(version.folder.iterdir()) if path.is_file()}
    files = {name: _digest(content) for name, content in contents.items()}
    header = {"format": FORMAT, **asdict(about), "files": files}
    with replacing(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ABOUT, json.dumps(header, indent=1, sort_keys=True))
        for name, content in contents.items():
            archive.writestr(name, content)
    return _digest(file.read_bytes())


def import_bundle(registry: Registry, file: Path, loaders: Loaders) -> tuple[BundleInfo, str]:
    """Register the model of a file; what the file says of it, and its version here.

    Raises:
        ParcelError: the file is no parcel, was changed, or holds a model that this version cannot use.
    """
    with open_bundle(file, loaders) as (about, folder):
        tags = {**about.tags, "imported_from_version": about.exported_version}
        return about, registry.register(about.kind, folder, about.metrics, about.params, tags)


@contextmanager
def open_bundle(file: Path, loaders: Loaders) -> Iterator[tuple[BundleInfo, Path]]:
    """A parcel's model in a temporary folder, checked and loadable.

    Raises:
        ParcelError: as `import_bundle`.
    """
    with TemporaryDirectory(prefix="weatherglass-") as scratch:
        folder = Path(scratch)
        try:
            with zipfile.ZipFile(file) as archive:
                header = _header(file, archive, loaders)
                for name, digest in header["files"].items():
                    content = archive.read(name)
                    if _digest(content) != digest:
                        raise BundleError(f"{file}: {name} was changed since it was exported; export it again")
                    (folder / name).write_bytes(content)
            about = BundleInfo(**{name: header[name] for name in BundleInfo.__dataclass_fields__})
            loaders[about.kind](folder)
        except FileNotFoundError as error:
            raise BundleError(f"{file} does not exist") from error
        except (
            zipfile.BadZipFile,
            zipfile.LargeZipFile,
            NotImplementedError,
            RuntimeError,
            OSError,
            EOFError,
        ) as error:
            raise BundleError(f"{file} is no exported model, or damaged: {error}") from error
        except ModelFileError as error:
            raise BundleError(f"{file} holds a model that cannot be used: {error}") from error
        yield about, folder


def _header(file: Path, archive: zipfile.ZipFile, loaders: Loaders) -> Mapping[str, Any]:
    members = archive.infolist()
    names = [member.filename for member in members]
    if ABOUT not in names:
        raise BundleError(f"{file} is no exported model: it holds no {ABOUT}")
    if len(names) != len(set(names)) or len(names) > MOST_FILES:
        raise BundleError(f"{file} holds files twice, or more than {MOST_FILES}")
    if (size := sum(member.file_size for member in members)) > LARGEST:
        raise BundleError(f"{file} would be {size:,} bytes; no model is larger than {LARGEST:,}")
    if strange := [name for name in names if PurePosixPath(name).name != name or name.startswith(".") or "\\" in name]:
        raise BundleError(f"{file} holds {strange[0]!r}, which would lie outside a model's folder")
    try:
        header = json.loads(archive.read(ABOUT))
        files, kind = dict(header["files"]), header["kind"]
        found = header["format"]
        missing = [name for name in BundleInfo.__dataclass_fields__ if name not in header]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file}: {ABOUT} cannot be read: {error}") from error
    if found != FORMAT or kind not in loaders or missing:
        raise BundleError(
            f"{file}: format {found!r} of kind {kind!r}; this version reads {FORMAT} of {', '.join(loaders)}"
        )
    if set(files) != set(names) - {ABOUT} or MANIFEST not in files:
        odd = sorted(set(files) ^ (set(names) - {ABOUT})) or [MANIFEST]
        raise BundleError(f"{file}: {odd[0]} is missing, or was added since it was exported")
    return dict(header)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
