"""The manifest of a model folder: what is missing or changed is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from weatherglass.registry import artifact
from weatherglass.registry.artifact import FORMAT, MANIFEST, ModelFileError

ABOUT = {"stations": ["boston"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "arrays.npz").write_bytes(b"arrays")
    (tmp_path / "trees.txt").write_text("trees")
    artifact.write_manifest(tmp_path, "forecaster", ABOUT)
    return tmp_path


def change_manifest(folder: Path, **fields: object) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | fields))


def test_an_unchanged_folder_returns_what_was_written_also_with_an_added_text(folder: Path) -> None:
    assert artifact.verify(folder, "forecaster") == ABOUT
    artifact.add_text(folder, "card.md", "# Card")
    assert artifact.verify(folder, "forecaster") == ABOUT
    assert set(artifact.read_manifest(folder).files) == {"arrays.npz", "trees.txt", "card.md"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "trees.txt").write_text("other"), "trees.txt"),
        (lambda folder: (folder / "trees.txt").unlink(), "trees.txt"),
        (lambda folder: change_manifest(folder, files={"../trees.txt": "0"}), "../trees.txt"),
        (lambda folder: change_manifest(folder, kind="anomaly-detector"), ""),
        (lambda folder: change_manifest(folder, format=FORMAT - 1), ""),
        (lambda folder: change_manifest(folder, format=FORMAT + 1), ""),
        (lambda folder: change_manifest(folder, format="2"), MANIFEST),
        (lambda folder: (folder / MANIFEST).unlink(), ""),
        (lambda folder: (folder / MANIFEST).write_text("{"), MANIFEST),
    ],
)
def test_a_changed_folder_is_an_error_with_its_path(folder: Path, change: Callable[[Path], object], named: str) -> None:
    change(folder)
    with pytest.raises(ModelFileError) as error:
        artifact.verify(folder, "forecaster")
    assert error.value.path == folder / named


def test_a_manifest_is_limited_in_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (folder / MANIFEST).stat().st_size
    monkeypatch.setattr(artifact, "MAX_MANIFEST_BYTES", size)
    assert artifact.verify(folder, "forecaster") == ABOUT
    monkeypatch.setattr(artifact, "MAX_MANIFEST_BYTES", size - 1)
    with pytest.raises(ModelFileError) as error:
        artifact.verify(folder, "forecaster")
    assert error.value.path == folder / MANIFEST


class Document(BaseModel):
    name: str
    numbers: list[int] = []


@pytest.mark.parametrize(
    ("content", "place"),
    [({"name": "a", "numbers": [1, "x"]}, "'numbers.1'"), ({}, "'name'"), (b"[", "invalid content: ")],
)
def test_the_first_invalid_field_is_named(content: bytes | dict[str, object], place: str) -> None:
    with pytest.raises(ModelFileError) as error:
        artifact.parse(Path("file"), Document, content)
    assert place in error.value.problem
    assert ("at '" in error.value.problem) == place.startswith("'")
