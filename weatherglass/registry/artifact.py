"""Model folders: plain data files and a manifest, `model.json`, with their checksums.

Loading a model never executes code from the folder: it holds LightGBM text, NumPy arrays without pickle, and JSON.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MANIFEST = "model.json"
FORMAT = 2


class ModelFileError(ValueError):
    """A model folder cannot be used: a file is missing or changed, or the kind or format is another one."""


def write_manifest(folder: Path, kind: str, about: dict[str, Any]) -> None:
    """Write `model.json`: the kind, `about` (plain JSON) and the SHA-256 of every other file of the folder."""
    files = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    content = {"format": FORMAT, "kind": kind, "about": about, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def add_text(folder: Path, name: str, text: str) -> None:
    """Add a text file to a model folder and update the manifest."""
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / name).write_text(text, encoding="utf-8")
    write_manifest(folder, content["kind"], content["about"])


def verify(folder: Path, kind: str) -> dict[str, Any]:
    """Compare the folder with its manifest and return `about`.

    Raises:
        ModelFileError: names the file that is missing or changed, or the kind or format that was found.
    """
    manifest = folder / MANIFEST
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        found_format, found_kind = content["format"], content["kind"]
        files, about = content["files"], content["about"]
    except FileNotFoundError:
        raise ModelFileError(f"{folder}: no model found, {MANIFEST} is missing") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{manifest}: invalid manifest: {error!r}") from None
    if found_kind != kind:
        raise ModelFileError(f"{folder}: the model's kind is {found_kind!r}, expected {kind!r}")
    if found_format != FORMAT:
        raise ModelFileError(
            f"{folder}: the model has format {found_format}, this version reads format {FORMAT}; "
            "train a new model with the DAG train_models, or remove the state folder to start from scratch"
        )
    for name, digest in files.items():
        path = folder / name
        if path.name != name or not path.is_file():
            raise ModelFileError(f"{path}: missing; train a new model or restore the file")
        if _digest(path) != digest:
            raise ModelFileError(f"{path}: changed since the model was saved; train a new model or restore the file")
    return dict(about)


def save_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an `.npz` file; NumPy refuses object arrays, which contain pickles.

    Raises:
        ModelFileError: the file is not readable as plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: not readable as plain arrays: {error}") from None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
