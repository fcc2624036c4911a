"""The task of `rollback_model` with a real registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.run_notes import SUMMARY_KEY
from plugins.tasks.models import roll_back
from tests.plugins.conftest import TaskInstance
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable


def test_a_rollback_returns_to_the_previous_version(
    settings: Settings, tmp_path: Path, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable("state_dir"), str(settings.state_dir))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "card.md").write_text("a test")
    registry = Registry(settings)
    for _ in range(2):
        version = registry.register(FORECASTER, tmp_path / "model", {}, {}, {})
        registry.promote(FORECASTER, version, "a test", "a test", {})
    assert roll_back({"kind": FORECASTER, "reason": "a test"}, ti=ti) == "1"
    assert ti.xcoms == {SUMMARY_KEY: "forecaster: version 1 promoted, 2 withdrawn"}
    champion = registry.champion(FORECASTER)
    assert champion is not None
    assert champion.version == "1"
