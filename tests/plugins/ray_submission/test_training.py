"""The summary of a training names the versions that it registered, with a real registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from plugins.ray_submission.training import TrainingOperator, registered_since
from plugins.run_notes import SUMMARY_KEY
from tests.plugins.conftest import TaskInstance
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable

HOUR = timedelta(hours=1)


@pytest.fixture
def trained(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a registry with a first training, whose models are champions, and a full one."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "card.md").write_text("a test")
    registry = Registry(settings)
    for size in ("first", "full"):
        for kind in (FORECASTER, ANOMALY_DETECTOR):
            version = registry.register(kind, tmp_path / "model", {}, {}, {"size": size})
            change = registry.challenge if (size, kind) == ("full", FORECASTER) else registry.promote
            change(kind, version, "a test", "a test", {})
    return settings


def test_versions_of_the_size_are_listed_with_their_role(trained: Settings) -> None:
    now = datetime.now(UTC)
    expected = {
        "first": "anomaly-detector version 1 registered, forecaster version 1 promoted",
        "full": "anomaly-detector version 2 promoted, forecaster version 2 is challenger",
        "refit": "no version registered",
    }
    assert {size: registered_since(trained, size, now - HOUR) for size in expected} == expected
    assert registered_since(trained, "full", now + HOUR) == "no version registered"


def test_the_end_of_a_training_sets_its_summary(
    trained: Settings, ti: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable("state_dir"), str(trained.state_dir))
    operator = TrainingOperator(size="full")
    started = datetime.now(UTC) - HOUR
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=started, run_after=started)}
    failed = {"status": "FAILED", "reason": "out of memory", "log_tail": []}
    with pytest.raises(AirflowException):
        operator.job_ended(context, failed)
    assert ti.xcoms == {}
    operator.job_ended(context, failed | {"status": "SUCCEEDED"})
    assert ti.xcoms == {SUMMARY_KEY: "anomaly-detector version 2 promoted, forecaster version 2 is challenger"}
