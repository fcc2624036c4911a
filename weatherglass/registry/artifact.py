"""A model's folder: plain data files and one `model.json` that seals them.

Loading a model executes nothing that the folder brings along: LightGBM's text, NumPy arrays without pickle, JSON.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MANIFEST = "model.json"
FORMAT = 1


class ModelFileError(ValueError):
    """A model folder that cannot be used: a file is missing, changed, or of another kind or format."""


def write_manifest(folder: Path, kind: str, about: dict[str, Any]) -> None:
    """Write `model.json`: the kind, `about` (plain JSON) and the SHA-256 of every other file of the folder."""
    files = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    content = {"format": FORMAT, "kind": kind, "about": about, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def add_text(folder: Path, name: str, text: str) -> None:
    """Add a text file to a sealed folder, and seal it anew."""
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / name).write_text(text, encoding="utf-8")
    write_manifest(folder, content["kind"], content["about"])


def verify(folder: Path, kind: str) -> dict[str, Any]:
    """Check the folder against its seal and return `about`.

    Raises:
        ModelFileError: naming the file that is missing or changed, or the kind or format that does not fit.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found, files, about = (content["format"], content["kind"]), content["files"], content["about"]
    except FileNotFoundError:
        raise ModelFileError(f"{folder}: no model here, {MANIFEST} is missing") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{folder / MANIFEST}: not a model's seal ({error})") from None
    if found != (FORMAT, kind):
        raise ModelFileError(f"{folder}: format {found[0]} of kind {found[1]!r}, expected {FORMAT} of {kind!r}")
    for name, digest in files.items():
        path = folder / name
        if path.name != name or not path.is_file():
            raise ModelFileError(f"{path}: missing")
        if _digest(path) != digest:
            raise ModelFileError(f"{path}: changed since it was saved; train again or restore it")
    return dict(about)


def save_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Arrays of an `.npz`; object arrays (pickles) are refused by NumPy.

    Raises:
        ModelFileError: the file is not readable as plain arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: not readable as plain arrays ({error})") from None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
