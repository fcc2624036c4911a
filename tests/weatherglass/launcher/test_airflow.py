"""Airflow's options."""

from __future__ import annotations

from pathlib import Path

from tests import airflow_home  # noqa: F401 (before Airflow is imported)
from weatherglass.launcher.airflow import options
from weatherglass.settings import Settings


def test_what_a_dead_scheduler_left_is_looked_for_as_often_as_a_death_is_judged(tmp_path: Path) -> None:
    from airflow.configuration import conf

    chosen = options(Settings(state_dir=tmp_path))
    interval = float(chosen["AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL"])
    assert interval <= conf.getfloat("scheduler", "scheduler_health_check_threshold")
