"""A champion that has turned bad starts a training: the real DAG in a real Airflow, with store and registry."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.ray_jobs.small_models import crown, without_trees
from tests.weatherglass.verification.conftest import HOUR, forecast, observed
from tests.weatherglass.verification.test_hourly import STATIONS, nearer
from weatherglass.models.registry import FORECASTER, Registry
from weatherglass.settings import PROJECT_ROOT, Settings
from weatherglass.store import alert_log, observations, predictions
from weatherglass.store.schema import trainings_asked

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

RUN = """
import json
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import timezone
dag = DagBag("dags/verify_forecasts.py").dags["verify_forecasts"]
run = dag.test(logical_date=timezone.utcnow())
print("STATES", json.dumps({one.task_id: one.state for one in run.get_task_instances()}))
"""


class Airflow:
    """Its own home and database; DAGs run in a process of their own."""

    def __init__(self, home: Path, settings: Settings):
        self._database = home / "airflow.db"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "WEATHERGLASS_"))},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}",
            "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        }
        self._do([sys.executable, "-m", "airflow", "db", "migrate"])

    def verify(self) -> dict[str, str]:
        """One run of `verify_forecasts`; its tasks' states."""
        said = self._do([sys.executable, "-c", RUN])
        [line] = [line for line in said.splitlines() if line.startswith("STATES ")]
        states: dict[str, str] = json.loads(line.removeprefix("STATES "))
        return states

    def triggered(self, dag_id: str) -> list[Any]:
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute("SELECT run_id FROM dag_run WHERE dag_id = ?", (dag_id,)).fetchall()

    def _do(self, command: list[str]) -> str:
        done = subprocess.run(
            command, env=self._environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout


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
    truths = [o for name in STATIONS for o in observed(3 * 24, name, start, wandering=False)]
    came = {(o.station_id, o.timestamp): float(o.temperature or 0) for o in truths}
    bad = [
        nearer(forecast(start + hour * HOUR, name, version), came, -3.0) for name in STATIONS for hour in range(24, 71)
    ]
    with registry.store().begin() as connection:
        observations.save(connection, truths, today)
        predictions.save(connection, bad, today)

    airflow = Airflow(tmp_path / "airflow", settings)
    states = airflow.verify()
    assert states == {"verify": "success", "may_retrain": "success", "retrain": "success", "report": "failed"}
    assert len(airflow.triggered("prepare_history")) == 1
    with registry.store().connect() as connection:
        told = {(alert.rule, alert.subject) for alert in alert_log.listed(connection, 20, opened=True)}
        [asked] = connection.execute(trainings_asked.select()).all()
    assert ("skill_below_zero", f"version {version}, temperature") in told
    assert "a model has become worse" in asked.why
    assert registry.champion(FORECASTER).version == version  # type: ignore[union-attr]

    # It is still bad an hour later; the training that was asked for may be at work, or have failed.
    states = airflow.verify()
    assert states == {"verify": "success", "may_retrain": "success", "retrain": "skipped", "report": "failed"}
    assert len(airflow.triggered("prepare_history")) == 1
