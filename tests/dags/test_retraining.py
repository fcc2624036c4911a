"""A degraded champion starts a training: the DAG in Airflow, with store and registry."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.dags.dag_runner import DagRunner
from tests.ray_jobs.small_models import register_champion, without_trees
from tests.weatherglass.verification.conftest import HOUR, forecast, observed
from tests.weatherglass.verification.test_verification_run import STATIONS, move_towards
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.store import alert_queries, observations, predictions
from weatherglass.store.schema import retraining_requests, verification_runs

EXPECTED = {"verify": "success", "should_retrain": "success", "fail_if_degraded": "failed"}

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def age_versions(settings: Settings, age: timedelta) -> None:
    """Make the registered versions older by `age`."""
    with closing(sqlite3.connect(settings.mlflow_url.removeprefix("sqlite:///"))) as connection:
        milliseconds = int(age.total_seconds() * 1000)
        connection.execute("UPDATE model_versions SET creation_time = creation_time - ?", (milliseconds,))
        connection.commit()


def test_degradation_raises_an_alert_and_starts_one_training(settings: Settings, tmp_path: Path) -> None:
    version = register_champion(settings, without_trees(), tmp_path / "model")
    age_versions(settings, timedelta(days=2))
    registry = Registry(settings)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=3)
    # Including today, which is verified if the DAG runs after midnight.
    truths = [o for name in STATIONS for o in observed(4 * 24, name, start, random_walk=False)]
    came = {(o.station_id, o.timestamp): float(o.temperature or 0) for o in truths}
    bad = [
        move_towards(forecast(start + hour * HOUR, name, version), came, -3.0)
        for name in STATIONS
        for hour in range(24, 71)
    ]
    with registry.store().begin() as connection:
        observations.save(connection, truths, today)
        predictions.save(connection, bad, today)

    dags = DagRunner(tmp_path / "airflow", settings)
    states = dags.run("verify_forecasts")
    assert states == {**EXPECTED, "retrain": "success"}
    assert len(dags.triggered_runs("prepare_history")) == 1
    with registry.store().connect() as connection:
        raised = {(alert.rule, alert.subject) for alert in alert_queries.list_alerts(connection, 20, is_open=True)}
        (request,) = connection.execute(retraining_requests.select()).all()
    assert ("skill_below_zero", f"version {version}, temperature") in raised
    assert request.reason
    assert registry.champion(FORECASTER).version == version  # type: ignore[union-attr]

    # The next run within the cooldown starts no further training, although the model is still degraded.
    states = dags.run("verify_forecasts")
    assert states == {**EXPECTED, "retrain": "skipped"}
    first, _ = dags.summaries("verify_forecasts")
    count = re.fullmatch(r"(\d+) forecast values verified, (\d+) alerts? about models in service", first)
    assert count
    with registry.store().connect() as connection:
        runs = connection.execute(verification_runs.select().order_by(verification_runs.c.at)).all()
    assert int(count[1]) == runs[0].pairs > 0
    assert len(dags.triggered_runs("prepare_history")) == 1
