"""Airflow's options against Airflow's own defaults."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests import airflow_home  # noqa: F401 (before Airflow is imported)
from weatherglass.files import DamagedFileError
from weatherglass.launcher import airflow
from weatherglass.launcher.airflow import check_configuration, home, options
from weatherglass.launcher.credentials import Credentials
from weatherglass.settings import LOOPBACK, PROJECT_ROOT, Settings


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


def test_airflow_runs_the_dags_of_the_project_on_loopback(settings: Settings, tmp_path: Path) -> None:
    credentials = Credentials(settings)
    found = airflow.environment(settings, credentials, {"COMMON": "1", "AIRFLOW_HOME": "other"})
    values = {name.removeprefix("AIRFLOW__"): value for name, value in found.items()}
    assert (values["COMMON"], values["AIRFLOW_HOME"]) == ("1", str(settings.state_dir / "airflow"))
    assert values["CORE__DAGS_FOLDER"] == str(PROJECT_ROOT / "dags")
    assert values["CORE__PLUGINS_FOLDER"] == str(PROJECT_ROOT / "plugins")
    assert (
        values["DATABASE__SQL_ALCHEMY_CONN"].partition("?")[0] == f"sqlite:///{settings.state_dir}/airflow/airflow.db"
    )
    url = f"http://{settings.airflow_host}:{settings.airflow_port}"
    assert (values["API__HOST"], values["API__BASE_URL"], values["API__PORT"]) == (
        LOOPBACK,
        url,
        str(settings.airflow_port),
    )
    assert values["CORE__EXECUTION_API_SERVER_URL"] == f"{url}/execution/"
    assert values["CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] == str(credentials.passwords_file)
    secrets = {values[name] for name in ("CORE__FERNET_KEY", "API__SECRET_KEY", "API_AUTH__JWT_SECRET")}
    assert len(secrets) == 3
    no_secrets = options(settings)
    assert not secrets & set(no_secrets.values())
    booleans = {name: value for name, value in no_secrets.items() if value in ("True", "False")}
    assert booleans == {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
    assert (values["CORE__PARALLELISM"], values["API__WORKERS"]) == ("3", "1")
    refresh, stale = (int(values[f"DAG_PROCESSOR__{name}"]) for name in ("REFRESH_INTERVAL", "STALE_DAG_THRESHOLD"))
    assert stale == 3 * refresh
    assert int(values["SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"]) == 90


@pytest.mark.parametrize(("master", "host"), [("", "local[3]"), ("spark://master:7077", "spark://master:7077")])
def test_the_spark_connection_names_the_master(settings: Settings, master: str, host: str) -> None:
    changed = settings.model_copy(update={"spark_master": master, "spark_cores": 3})
    assert json.loads(options(changed)["AIRFLOW_CONN_SPARK_DEFAULT"])["host"] == host


def test_each_process_of_airflow_has_its_command(settings: Settings, tmp_path: Path) -> None:
    command = str(tmp_path / "airflow")
    programs = [*airflow.programs(tmp_path, {"A": "1"}), airflow.migration(tmp_path, {"A": "1"})]
    assert [(one.name, one.argv[:2], one.environment) for one in programs] == [
        *((name, [command, name], {"A": "1"}) for name in ("api-server", "scheduler", "dag-processor", "triggerer")),
        ("airflow-migration", [command, "db"], {"A": "1"}),
    ]


def test_an_empty_database_has_no_tables(settings: Settings) -> None:
    file = airflow.database(settings)
    assert not airflow.has_tables(settings)
    file.parent.mkdir(parents=True)
    file.touch()
    assert not airflow.has_tables(settings)
    file.write_bytes(b"x")
    assert airflow.has_tables(settings)
