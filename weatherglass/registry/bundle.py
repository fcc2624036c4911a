"""Bundles: a registered model as one file, for export to another installation.

A bundle is a zip archive with the model's files, including its model card, and `bundle.json`: the kind, the registry's
tags, parameters and metrics of the version, and the SHA-256 of every file. A bundle is not trusted: names, sizes and
checksums are checked before a file is written, and loading the model executes no code (text, JSON, arrays without
pickle).
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
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import ModelVersion, Registry
from weatherglass.settings import Settings

HEADER_NAME = "bundle.json"
FORMAT = 2
MAX_BYTES = 1 << 30
"""Maximum total size of the unpacked files; no model is larger."""
MAX_FILES = 500
ModelLoaders = Mapping[str, Callable[[Path], object]]
"""Kind of model -> function that loads a model folder and raises `ModelFileError` if that fails."""


class BundleError(ValueError):
    """A file is not a valid bundle or was changed; the message names the file and the problem."""


@dataclass(frozen=True)
class BundleInfo:
    """Registry data of a bundle's model; `exported_version` is its version in the registry that exported it."""

    kind: str
    exported_version: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


def export_bundle(settings: Settings, version: ModelVersion, file: Path, loaders: ModelLoaders) -> str:
    """Write a version to a new file atomically and return the file's SHA-256.

    Raises:
        ModelFileError: a file of the registered model is missing or changed.
    """
    loaders[version.kind](version.folder)
    model = next(m for m in registered_models(settings) if (m.kind, m.version) == (version.kind, version.version))
    tags = {name: value for name, value in model.tags.items() if name != "folder"}
    info = BundleInfo(version.kind, version.version, tags, model.params, model.metrics)
    contents = {path.name: path.read_bytes() for path in sorted(version.folder.iterdir()) if path.is_file()}
    files = {name: _digest(content) for name, content in contents.items()}
    header = {"format": FORMAT, **asdict(info), "files": files}
    with replacing(file) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(HEADER_NAME, json.dumps(header, indent=1, sort_keys=True))
        for name, content in contents.items():
            archive.writestr(name, content)
    return _digest(file.read_bytes())


def import_bundle(registry: Registry, file: Path, loaders: ModelLoaders) -> tuple[BundleInfo, str]:
    """Register the model of a bundle; return the bundle's data and the new version.

    Raises:
        BundleError: the file is not a bundle, was changed, or contains a model that this version cannot load.
    """
    with open_bundle(file, loaders) as (info, folder):
        tags = {**info.tags, "imported_from_version": info.exported_version}
        return info, registry.register(info.kind, folder, info.metrics, info.params, tags)


@contextmanager
def open_bundle(file: Path, loaders: ModelLoaders) -> Iterator[tuple[BundleInfo, Path]]:
    """Unpack a bundle's model into a temporary folder and check that it loads.

    Raises:
        BundleError: see `import_bundle`.
    """
    with TemporaryDirectory(prefix="weatherglass-") as scratch:
        folder = Path(scratch)
        try:
            with zipfile.ZipFile(file) as archive:
                header = _header(file, archive, loaders)
                for name, digest in header["files"].items():
                    content = archive.read(name)
                    if _digest(content) != digest:
                        raise BundleError(f"{file}: {name} was changed after the export; export the model again")
                    (folder / name).write_bytes(content)
            info = BundleInfo(**{name: header[name] for name in BundleInfo.__dataclass_fields__})
            loaders[info.kind](folder)
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
            raise BundleError(f"{file} is not a bundle or is damaged: {error}") from error
        except ModelFileError as error:
            raise BundleError(f"{file} contains a model that cannot be loaded: {error}") from error
        yield info, folder


def _header(file: Path, archive: zipfile.ZipFile, loaders: ModelLoaders) -> Mapping[str, Any]:
    members = archive.infolist()
    names = [member.filename for member in members]
    if HEADER_NAME not in names:
        raise BundleError(f"{file} is not a bundle of this version: {HEADER_NAME} is missing; export the model again")
    if len(names) != len(set(names)) or len(names) > MAX_FILES:
        raise BundleError(f"{file} contains duplicate names or more than {MAX_FILES} files")
    if (size := sum(member.file_size for member in members)) > MAX_BYTES:
        raise BundleError(f"{file} unpacks to {size:,} bytes; the limit is {MAX_BYTES:,}")
    if unsafe := [name for name in names if PurePosixPath(name).name != name or name.startswith(".") or "\\" in name]:
        raise BundleError(f"{file} contains the unsafe name {unsafe[0]!r}")
    try:
        header = json.loads(archive.read(HEADER_NAME))
        files, kind = dict(header["files"]), header["kind"]
        found_format = header["format"]
        missing = [name for name in BundleInfo.__dataclass_fields__ if name not in header]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file}: invalid {HEADER_NAME}: {error!r}") from error
    if found_format != FORMAT or kind not in loaders or missing:
        raise BundleError(
            f"{file} has format {found_format!r} and kind {kind!r}; this version reads format {FORMAT} and the kinds "
            + ", ".join(loaders)
        )
    if set(files) != set(names) - {HEADER_NAME} or MANIFEST not in files:
        unexpected = sorted(set(files) ^ (set(names) - {HEADER_NAME})) or [MANIFEST]
        raise BundleError(f"{file}: {unexpected[0]} is missing or was added after the export")
    return dict(header)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
