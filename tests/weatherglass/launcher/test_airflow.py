"""Airflow's options against Airflow's own defaults."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests import airflow_home  # noqa: F401 (before Airflow is imported)
from weatherglass.files import DamagedFileError
from weatherglass.launcher.airflow import check_configuration, home, options
from weatherglass.settings import Settings


def test_orphaned_tasks_are_checked_at_least_as_often_as_scheduler_health(tmp_path: Path) -> None:
    from airflow.configuration import conf

    values = options(Settings(state_dir=tmp_path))
    interval = float(values["AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL"])
    assert interval <= conf.getfloat("scheduler", "scheduler_health_check_threshold")


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_shortened_airflow_cfg_is_harmless(settings: Settings, share: float) -> None:
    from airflow.configuration import create_default_config_parser, retrieve_configuration_description

    text = io.StringIO()
    create_default_config_parser(retrieve_configuration_description()).write(text)
    file = home(settings) / "airflow.cfg"
    file.parent.mkdir(parents=True)
    lines = text.getvalue().splitlines(keepends=True)
    file.write_text("".join(lines[: int(share * len(lines))]))
    check_configuration(settings)


@pytest.mark.parametrize("content", [b"\0" * 100, b"\xff\xfe", b"no section = 1"])
def test_an_airflow_cfg_that_airflow_cannot_parse_is_named(settings: Settings, content: bytes) -> None:
    file = home(settings) / "airflow.cfg"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    with pytest.raises(DamagedFileError) as error:
        check_configuration(settings)
    assert error.value.file == file
    file.unlink()
    check_configuration(settings)
