"""Entry points of the containers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from weatherglass.launcher import airflow, databases
from weatherglass.launcher.cluster import IMPORT_MODELS, exec_airflow, prepare
from weatherglass.settings import Settings
from weatherglass.store import migrate

PASSWORD = "long enough"
MIGRATION = ["airflow", "db", "migrate"]


class Replaced(Exception):
    """The process would now be replaced."""


class Programs:
    """Records the programs that would be run, with their environments, and those that would replace the process."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.status = 0

    def run(self, command: list[str], env: dict[str, str], check: bool) -> subprocess.CompletedProcess[bytes]:
        assert not check
        self._record(command, env)
        return subprocess.CompletedProcess(command, self.status)

    def execvpe(self, _: str, command: list[str], environment: dict[str, str]) -> None:
        self._record(command, environment)
        raise Replaced

    def _record(self, command: list[str], environment: dict[str, str]) -> None:
        self.commands.append(command)
        self.environments.append(environment)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs()
    monkeypatch.setattr(os, "execvpe", programs.execvpe)
    monkeypatch.setattr(subprocess, "run", programs.run)
    monkeypatch.setattr(databases, "create_database", lambda url: None)
    monkeypatch.setattr(migrate, "migrate", lambda url: None)
    return programs


def variables(**more: str) -> dict[str, str]:
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg://weatherglass@postgres/airflow", **more}


@pytest.mark.parametrize("password", [None, "", " " * 20, "short", "Password1"])
def test_an_empty_short_or_common_password_ends_the_preparation(
    settings: Settings, programs: Programs, password: str | None
) -> None:
    given = {} if password is None else {"AIRFLOW_PASSWORD": password}
    with pytest.raises(SystemExit) as end:
        prepare(settings, variables(**given))
    assert end.value.code not in (0, None)
    assert programs.commands == []


def test_users_are_prepared_after_the_migration_without_a_password_in_arguments(
    settings: Settings, programs: Programs
) -> None:
    with pytest.raises(Replaced):
        prepare(settings, variables(AIRFLOW_PASSWORD=PASSWORD))
    first, second, third = programs.commands
    assert (first, second) == (IMPORT_MODELS, MIGRATION)
    assert third[1:] == ["-m", "plugins.auth.users"]
    assert programs.environments[2]["AIRFLOW_PASSWORD"] == PASSWORD
    assert not any(PASSWORD in argument for command in programs.commands for argument in command)


def test_users_are_not_prepared_after_a_failed_migration(settings: Settings, programs: Programs) -> None:
    programs.status = 3
    with pytest.raises(SystemExit) as end:
        prepare(settings, variables(AIRFLOW_PASSWORD=PASSWORD))
    assert end.value.code not in (0, None)
    assert programs.commands == [IMPORT_MODELS, MIGRATION]


@pytest.mark.parametrize("process", airflow.PROCESSES)
def test_the_processes_of_airflow_need_no_password(
    settings: Settings, tmp_path: Path, programs: Programs, process: str
) -> None:
    with pytest.raises(Replaced):
        exec_airflow(process, settings, {"AIRFLOW_HOME": str(tmp_path / "home")})
    (environment,) = programs.environments
    assert not any("PASSWORD" in name for name in environment)


@pytest.mark.parametrize(("address", "secure"), [("http://localhost:8088", False), ("https://weather.example", True)])
def test_cookies_are_secure_and_the_proxy_is_trusted_if_the_public_address_has_tls(
    settings: Settings, tmp_path: Path, programs: Programs, address: str, secure: bool
) -> None:
    with pytest.raises(Replaced):
        exec_airflow("api-server", settings, {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__API__BASE_URL": address})
    assert ("--proxy-headers" in programs.commands[0]) is secure
    assert programs.environments[0]["AIRFLOW__FAB__COOKIE_SECURE"] == str(secure)
