"""Airflow's options against Airflow's own defaults."""

from __future__ import annotations

from pathlib import Path

from tests import airflow_home  # noqa: F401 (before Airflow is imported)
from weatherglass.launcher.airflow import options
from weatherglass.settings import Settings


def test_orphaned_tasks_are_checked_at_least_as_often_as_scheduler_health(tmp_path: Path) -> None:
    from airflow.configuration import conf

    values = options(Settings(state_dir=tmp_path))
    interval = float(values["AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL"])
    assert interval <= conf.getfloat("scheduler", "scheduler_health_check_threshold")
