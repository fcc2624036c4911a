"""Bundles: a registered model as one file, for export to another installation.

A bundle is a zip archive with the model's files, including its model card, and `bundle.json`: the kind, the registry's
tags, parameters and metrics of the version, and the SHA-256 of every file. A bundle is not trusted: its directory,
names, sizes and checksums are checked before a file is written, and every file is validated before it is used. Loading
the model executes no code (text, JSON, arrays without pickle). Files are unpacked into a temporary folder, and
registered when the model has been loaded from there.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from weatherglass.files import file_digest, replacing
from weatherglass.registry import provenance
from weatherglass.registry.artifact import MANIFEST, MAX_MANIFEST_BYTES, ModelFileError, first_problem, read_manifest
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import IMPORTED, ModelVersion, Registry
from weatherglass.registry.trainings import last_fitted_hour, last_training_hour
from weatherglass.settings import Settings

HEADER_NAME = "bundle.json"
MAX_BYTES = 1 << 30
"""Maximum size of a bundle, and of its unpacked files; no model is larger."""
MAX_FILES = 500
MAX_TAGS = MAX_PARAMS = 100
MAX_METRICS = 5_000
ModelLoaders = Mapping[str, Callable[[Path], object]]
"""Kind of model -> function that loads a model folder and raises `ModelFileError` if that fails."""

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_CHUNK_BYTES = 1 << 20
_END_RECORD = struct.Struct("<4s4H2LH")
"""End of a zip archive: signature, two disk numbers, entries on the disk and in total, size and offset of the
directory, length of the comment."""
_END_SIGNATURE, _ZIP64_SIGNATURE = b"PK\x05\x06", b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES = 20
_DIRECTORY_ENTRY_BYTES = 46 + 100

RESERVED = "mlflow."
"""MLflow changes its behaviour by tags whose names begin with this."""


def _check_reserved(name: str) -> str:
    if name.startswith(RESERVED):
        raise ValueError("the name is reserved for MLflow")
    return name


def _check_hours(tags: dict[str, str]) -> dict[str, str]:
    """Verification and trainings read the hours of all versions."""
    if any(hour is not None and np.isnat(hour) for hour in (last_training_hour(tags), last_fitted_hour(tags))):
        raise ValueError("the last hour of the training is not a time")
    return tags


Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. -]{0,199}$"), AfterValidator(_check_reserved)
]
"""Name of a tag, parameter or metric: a subset of what MLflow accepts."""
Text = Annotated[str, StringConstraints(max_length=100_000)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class BundleError(ValueError):
    """A file is not a valid bundle or was changed.

    Attributes:
        file: the bundle.
        member: the file inside it; None if the bundle as a whole is not valid.
        problem: what is wrong.
    """

    def __init__(self, file: Path, problem: str, member: str | None = None):
        super().__init__(f"{file}: {member}: {problem}" if member else f"{file}: {problem}")
        self.file, self.member, self.problem = file, member, problem


class BundleInfo(BaseModel):
    """Registry data of a bundle's model; `exported_version` is its version in the registry that exported it."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    kind: Annotated[str, StringConstraints(max_length=100)]
    exported_version: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")]
    tags: Annotated[dict[Name, Text], Field(max_length=MAX_TAGS), AfterValidator(_check_hours)]
    params: Annotated[dict[Name, Text], Field(max_length=MAX_PARAMS)]
    metrics: Annotated[dict[Name, float], Field(max_length=MAX_METRICS)]


class BundleHeader(BundleInfo):
    """The content of `bundle.json`; `files` has the SHA-256 of every other member."""

    format: Literal[2] = 2
    files: dict[str, Digest]


def export_bundle(settings: Settings, version: ModelVersion, file: Path, loaders: ModelLoaders) -> str:
    """Write a version to a new file atomically and return the file's SHA-256.

    Raises:
        ModelFileError: a file of the registered model is missing or changed.
        BundleError: the registry has tags, parameters or metrics that a bundle cannot hold.
    """
    loaders[version.kind](version.folder)
    model = next(m for m in registered_models(settings) if (m.kind, m.version) == (version.kind, version.version))
    tags = {name: value for name, value in model.tags.items() if name != "folder" and not name.startswith(RESERVED)}
    try:
        info = BundleInfo(
            kind=version.kind, exported_version=version.version, tags=tags, params=model.params, metrics=model.metrics
        )
    except ValidationError as error:
        raise BundleError(file, first_problem(error), HEADER_NAME) from None
    return write_bundle(info, version.folder, file)


def write_bundle(info: BundleInfo, folder: Path, file: Path) -> str:
    """Write a model folder to a new file atomically and return the file's SHA-256. The same model gives the same file.

    Raises:
        ModelFileError: a file of the model is missing or changed.
    """
    names = [MANIFEST, *sorted(read_manifest(folder).files)]
    digests = {name: file_digest(folder / name) for name in names}
    header = BundleHeader(**info.model_dump(), files=digests)
    with (
        replacing(file) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        _add(archive, HEADER_NAME, header.model_dump_json(indent=1).encode())
        for name in names:
            _add(archive, name, (folder / name).read_bytes())
    return file_digest(file)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a member; without the current time, so that the same model gives the same bundle."""
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o600 << 16
    archive.writestr(member, content, zipfile.ZIP_DEFLATED, 9)


def import_bundle(
    registry: Registry, file: Path, loaders: ModelLoaders, sha256: str | None = None, public_key: Path | None = None
) -> tuple[BundleInfo, str]:
    """Register the model of a bundle; return the bundle's data and the new version.

    Args:
        sha256: of the bundle, as its producer published it.
        public_key: of the producer, whose signature is in the file next to the bundle.

    Raises:
        BundleError: the file is not a bundle, was changed, or contains a model that this version cannot load.
        provenance.ProvenanceError: the file is not the one that the producer published or signed.
    """
    _check_file(file)
    if sha256 is not None:
        provenance.check_sha256(file, sha256)
    if public_key is not None:
        provenance.check_signature(file, public_key)
    with open_bundle(file, loaders) as (info, folder):
        tags = {**info.tags, IMPORTED: info.exported_version}
        return info, registry.register(info.kind, folder, info.metrics, info.params, tags)


@contextmanager
def open_bundle(file: Path, loaders: ModelLoaders) -> Iterator[tuple[BundleInfo, Path]]:
    """Unpack a bundle's model into a temporary folder and check that it loads.

    Raises:
        BundleError: see `import_bundle`.
    """
    _check_file(file)
    with TemporaryDirectory(prefix="weatherglass-") as scratch:
        folder = Path(scratch)
        header = _unpack(file, folder)
        if header.kind not in loaders:
            raise BundleError(
                file, f"the kind {header.kind!r} is unknown; this version has {', '.join(loaders)}", HEADER_NAME
            )
        try:
            if read_manifest(folder).files.keys() != header.files.keys() - {MANIFEST}:
                raise BundleError(file, "lists other files than the bundle contains", MANIFEST)
            loaders[header.kind](folder)
        except ModelFileError as error:
            member = error.path.name if error.path != folder else MANIFEST
            raise BundleError(file, error.problem, member) from error
        yield header, folder


def _check_file(file: Path) -> None:
    """Check the size of a file, and the size of its directory, which `zipfile` reads as a whole."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(file, "not a regular file")
        if status.st_size > MAX_BYTES:
            raise BundleError(file, f"has {status.st_size:,} bytes; the limit is {MAX_BYTES:,}")
        if status.st_size < _END_RECORD.size + _ZIP64_LOCATOR_BYTES:
            raise BundleError(file, "not a bundle or incomplete")
        with file.open("rb") as content:
            content.seek(-_END_RECORD.size - _ZIP64_LOCATOR_BYTES, 2)
            end = content.read()
    except OSError as error:
        raise BundleError(file, f"cannot be read: {error.strerror}") from None
    signature, *_, entries, size, offset, comment = _END_RECORD.unpack(end[_ZIP64_LOCATOR_BYTES:])
    complete = signature == _END_SIGNATURE and comment == 0 and offset + size + _END_RECORD.size == status.st_size
    if not complete or end.startswith(_ZIP64_SIGNATURE):
        raise BundleError(file, "not a bundle or incomplete")
    if entries > MAX_FILES or size > MAX_FILES * _DIRECTORY_ENTRY_BYTES:
        raise BundleError(file, f"contains more than {MAX_FILES} files or too long names")


def _unpack(file: Path, folder: Path) -> BundleHeader:
    """Check names and sizes of all members, write them into the folder, and compare them with their checksums."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(file, members)
            by_name = {member.filename: member for member in members}
            if by_name[HEADER_NAME].file_size > MAX_MANIFEST_BYTES:
                raise BundleError(file, f"larger than {MAX_MANIFEST_BYTES:,} bytes", HEADER_NAME)
            header = BundleHeader.model_validate_json(archive.read(HEADER_NAME))
            if unexpected := sorted(header.files.keys() ^ (by_name.keys() - {HEADER_NAME})):
                raise BundleError(file, "missing or added after the export", _shown(unexpected[0]))
            for name, digest in header.files.items():
                if _extract(archive, by_name[name], folder / name) != digest:
                    raise BundleError(file, "changed after the export", name)
            return header
    except BundleError:
        raise
    except ValidationError as error:
        raise BundleError(file, first_problem(error), HEADER_NAME) from None
    except Exception as error:  # zipfile raises a dozen different types for malformed files
        raise BundleError(file, f"not a bundle or damaged: {error}") from error


def _check_members(file: Path, members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if HEADER_NAME not in names:
        raise BundleError(file, "missing; the file is not a bundle", HEADER_NAME)
    for member in members:
        if not _FILE_NAME.fullmatch(member.filename):
            raise BundleError(file, "the name is not allowed", _shown(member.filename))
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BundleError(file, "not a regular file", member.filename)
    if len({name.lower() for name in names}) != len(names) or len(names) > MAX_FILES:
        raise BundleError(file, f"contains repeated names or more than {MAX_FILES} files")
    if (size := sum(member.file_size for member in members)) > MAX_BYTES:
        raise BundleError(file, f"unpacks to {size:,} bytes; the limit is {MAX_BYTES:,}")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> str:
    """Write a member, at most as many bytes as its size in the directory, and return its SHA-256."""
    digest = hashlib.sha256()
    with archive.open(member) as source, target.open("xb") as output:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            output.write(chunk)
    return digest.hexdigest()


def _shown(name: str) -> str:
    return repr(name[:100])
