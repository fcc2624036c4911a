"""The build of the shipped models, with a tiny size and a short history."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_jobs import build_models
from tests.conftest import make_settings
from tests.ray_jobs.tiny_training import TINY, prepare
from tests.synthetic_history import history
from weatherglass.cli.models import LOADERS
from weatherglass.files import file_digest
from weatherglass.registry import shipped
from weatherglass.registry.bundle import open_bundle
from weatherglass.settings import Source

pytestmark = pytest.mark.integration


def test_the_same_history_gives_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "PARTS", 1)
    monkeypatch.setitem(build_models.SIZES, build_models.SIZE, TINY)
    monkeypatch.setitem(build_models.TEST_CASES, build_models.SIZE, 300)
    monkeypatch.setattr(build_models, "code_version", lambda: "c0de")
    contents = []
    for name in ("first", "second"):
        settings = make_settings(tmp_path / name, source=Source.OPEN_METEO)  # nothing is excluded
        manifest = prepare(history(days=120), settings.history_dir)
        build_models.build(settings, manifest, tmp_path / name / "shipped")
        contents.append({file.name: file.read_bytes() for file in (tmp_path / name / "shipped").iterdir()})
    assert contents[0] == contents[1]
    folder = tmp_path / "first" / "shipped"
    lines = (folder / shipped.CHECKSUMS).read_text(encoding="utf-8").splitlines()
    assert dict(line.split()[::-1] for line in lines) == {file.name: file_digest(file) for file in folder.glob("*.zip")}
    for kind in shipped.KINDS:
        with open_bundle(folder / shipped.file_name(kind, 1), LOADERS) as (info, _):
            assert info.tags["size"] == build_models.SIZE
            assert info.tags["data_last_hour"] == f"{history(days=120).hours[-1]}:00:00Z"
    assert not list((tmp_path / "first" / "training").glob("*/results")), "a later build starts again"


def test_without_a_history_nothing_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path / "state"))
    assert build_models.main([str(tmp_path / "target")]) == 1
    assert str(tmp_path / "state" / "history") in capsys.readouterr().err
    assert not (tmp_path / "target").exists()
