"""Model folders: plain data files and a manifest, `model.json`, with their checksums.

Loading a model never executes code from the folder: it holds LightGBM text, NumPy arrays without pickle, and JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from weatherglass.files import file_digest

MANIFEST = "model.json"
FORMAT = 2
MAX_MANIFEST_BYTES = 16 << 20
"""Maximum size of a manifest; a station takes 60 bytes."""

M = TypeVar("M", bound=BaseModel)


class ModelFileError(ValueError):
    """A model folder cannot be used: a file is missing or changed, or the kind or format is another one.

    Attributes:
        path: the file or folder.
        problem: what is wrong with it, and the way out.
    """

    def __init__(self, path: Path, problem: str):
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem


class ModelManifest(BaseModel):
    """The content of `model.json`.

    Attributes:
        files: name -> SHA-256 of every other file.
        about: what the class of the kind needs to load the other files.
    """

    model_config = ConfigDict(strict=True)

    format: int
    kind: str
    about: dict[str, Any]
    files: dict[str, str]


def write_manifest(folder: Path, kind: str, about: dict[str, Any]) -> None:
    """Write `model.json`: the kind, `about` (plain JSON) and the SHA-256 of every other file of the folder."""
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    content = {"format": FORMAT, "kind": kind, "about": about, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def add_text(folder: Path, name: str, text: str) -> None:
    """Add a text file to a model folder and update the manifest."""
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / name).write_text(text, encoding="utf-8")
    write_manifest(folder, content["kind"], content["about"])


def read_manifest(folder: Path) -> ModelManifest:
    """Read `model.json`.

    Raises:
        ModelFileError: it is missing, too large, or not a manifest.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ModelFileError(path, f"larger than the limit of {MAX_MANIFEST_BYTES:,} bytes")
        return parse(path, ModelManifest, path.read_bytes())
    except FileNotFoundError:
        raise ModelFileError(folder, f"no model found, {MANIFEST} is missing") from None


def parse(path: Path, model: type[M], content: bytes | dict[str, Any]) -> M:
    """Return JSON, or what was parsed from it, as a pydantic model.

    Raises:
        ModelFileError: names the file and the first field that is wrong.
    """
    try:
        return model.model_validate_json(content) if isinstance(content, bytes) else model.model_validate(content)
    except ValidationError as error:
        raise ModelFileError(path, first_problem(error)) from None


def first_problem(error: ValidationError) -> str:
    """Return the place and the message of the first of pydantic's errors, without the value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))[:100]
    return f"invalid content at {place!r}: {first['msg'][:200]}" if place else f"invalid content: {first['msg'][:200]}"


def verify(folder: Path, kind: str) -> dict[str, Any]:
    """Compare the folder with its manifest and return `about`.

    Raises:
        ModelFileError: names the file that is missing or changed, or the kind or format that was found.
    """
    manifest = read_manifest(folder)
    if manifest.kind != kind:
        raise ModelFileError(folder, f"the model's kind is {manifest.kind[:40]!r}, expected {kind!r}")
    if manifest.format != FORMAT:
        raise ModelFileError(
            folder,
            f"the model has format {manifest.format}, this version reads format {FORMAT}; "
            "train a new model with the DAG train_models, or remove the state folder to start from scratch",
        )
    for name, digest in manifest.files.items():
        path = folder / name
        if path.name != name or not path.is_file():
            raise ModelFileError(path, "missing; train a new model or restore the file")
        if file_digest(path) != digest:
            raise ModelFileError(path, "changed since the model was saved; train a new model or restore the file")
    return manifest.about
