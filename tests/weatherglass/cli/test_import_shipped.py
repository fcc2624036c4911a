"""The import of the shipped models at a first start."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import make_settings
from weatherglass.cli import import_shipped as module
from weatherglass.cli.import_shipped import import_shipped
from weatherglass.cli.main import main
from weatherglass.cli.models import LOADERS
from weatherglass.registry import shipped
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import Registry
from weatherglass.settings import Source

pytestmark = pytest.mark.integration


def test_shipped_models_become_champions_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(tmp_path / "state", source=Source.REPLAY)
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("WEATHERGLASS_SOURCE", Source.REPLAY.value)
    for _ in range(2):
        assert main(["models", "import-shipped"]) == 0
    registry = Registry(settings)
    for kind in shipped.KINDS:
        champion = registry.champion(kind)
        assert champion is not None
        assert champion.tags["data_source"] == shipped.BUNDLED
        LOADERS[kind](champion.folder)
    now = datetime.now(UTC)
    files = {model.kind: model.file.name for model in shipped.shipped_models(settings, now)}
    for entry in registry.promotions():
        assert files[entry.kind] in entry.reason
    assert sorted(model.kind for model in registered_models(settings)) == sorted(shipped.KINDS)


def test_a_changed_shipped_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shipped"
    shutil.copytree(shipped.FOLDER, folder)
    for file in folder.glob("*.zip"):
        content = bytearray(file.read_bytes())
        content[1000] ^= 1
        file.write_bytes(content)
    monkeypatch.setattr(module, "shipped_models", partial(shipped.shipped_models, folder=folder))
    settings = make_settings(tmp_path / "state", source=Source.REPLAY)
    assert import_shipped(settings, datetime(2026, 5, 5, tzinfo=UTC)) == 1
    assert registered_models(settings) == []
