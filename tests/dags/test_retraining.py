"""A champion that has turned bad starts a training: the real DAG in a real Airflow, with store and registry."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.dags.airflow import Airflow
from tests.ray_jobs.small_models import crown, without_trees
from tests.weatherglass.verification.conftest import HOUR, forecast, observed
from tests.weatherglass.verification.test_hourly_run import STATIONS, nearer
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store import alert_log, observations, predictions
from weatherglass.store.schema import trainings_asked

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def made_before(settings: Settings, age: timedelta) -> None:
    """The registered versions are so much older than they are."""
    with closing(sqlite3.connect(settings.mlflow_url.removeprefix("sqlite:///"))) as connection:
        milliseconds = int(age.total_seconds() * 1000)
        connection.execute("UPDATE model_versions SET creation_time = creation_time - ?", (milliseconds,))
        connection.commit()


def test_degradation_is_told_and_starts_one_training(settings: Settings, tmp_path: Path) -> None:
    version = crown(settings, without_trees(), tmp_path / "model")
    made_before(settings, timedelta(days=2))
    registry = Registry(settings)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=3)
    # Today's too, which are judged should midnight come before the DAG does.
    truths = [o for name in STATIONS for o in observed(4 * 24, name, start, wandering=False)]
    came = {(o.station_id, o.timestamp): float(o.temperature or 0) for o in truths}
    bad = [
        nearer(forecast(start + hour * HOUR, name, version), came, -3.0) for name in STATIONS for hour in range(24, 71)
    ]
    with registry.store().begin() as connection:
        observations.save(connection, truths, today)
        predictions.save(connection, bad, today)

    airflow = Airflow(tmp_path / "airflow", settings)
    states = airflow.run("verify_forecasts")
    assert states == {"verify": "success", "may_retrain": "success", "retrain": "success", "report": "failed"}
    assert len(airflow.triggered("prepare_history")) == 1
    with registry.store().connect() as connection:
        told = {(alert.rule, alert.subject) for alert in alert_log.listed(connection, 20, opened=True)}
        [asked] = connection.execute(trainings_asked.select()).all()
    assert ("skill_below_zero", f"version {version}, temperature") in told
    assert "a model has become worse" in asked.why
    assert registry.champion(FORECASTER).version == version  # type: ignore[union-attr]

    # It is still bad an hour later; the training that was asked for may be at work, or have failed.
    states = airflow.run("verify_forecasts")
    assert states == {"verify": "success", "may_retrain": "success", "retrain": "skipped", "report": "failed"}
    assert len(airflow.triggered("prepare_history")) == 1
