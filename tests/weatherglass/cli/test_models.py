"""The registry by hand, as the walk in docs/models.md has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from weatherglass.cli.main import MODEL_KINDS, main
from weatherglass.registry.registry import FORECASTER, KINDS, Registry
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration


def test_the_walk_by_hand(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    registry = Registry(settings)
    for _ in range(2):
        registry.register(FORECASTER, folder, {}, {}, {})
    assert main(["models", "rollback", "--reason", "too early"]) == 1
    assert "no forecaster served before" in capsys.readouterr().err
    assert main(["models", "promote", "1", "--reason", "the first"]) == 0
    assert main(["models", "challenge", "2", "--reason", "newer"]) == 0
    assert registry.challenger(FORECASTER).version == "2"  # type: ignore[union-attr]
    assert main(["models", "promote", "2", "--reason", "better"]) == 0
    assert main(["models", "promote", "7", "--reason", "a slip"]) == 1
    assert "registered are: 2, 1" in capsys.readouterr().err
    assert main(["models", "rollback", "--reason", "cold bias"]) == 0
    assert "version 1 serves again instead of 2" in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert "forecaster          1" in said
    assert "champion" in said
    assert "rollback 2 -> 1" in said
    assert "cold bias" in said


def test_the_command_knows_the_kinds_of_the_registry() -> None:
    assert MODEL_KINDS == KINDS
