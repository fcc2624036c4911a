"""Entry points of the containers."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from weatherglass.launcher.cluster import exec_airflow
from weatherglass.settings import Settings


class Replaced(Exception):
    """The process would now be replaced."""


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """The environments of the programs that replaced the process."""
    environments: list[dict[str, str]] = []

    def record(_: str, __: list[str], environment: dict[str, str]) -> None:
        environments.append(environment)
        raise Replaced

    monkeypatch.setattr(os, "execvpe", record)
    return environments


@pytest.mark.parametrize("password", ["", " " * 20, "short"])
def test_an_empty_or_short_password_ends_the_container(
    settings: Settings, tmp_path: Path, executed: list[dict[str, str]], password: str
) -> None:
    with pytest.raises(SystemExit) as end:
        exec_airflow("api-server", settings, {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW_PASSWORD": password})
    assert end.value.code not in (0, None)
    assert executed == []
    assert list(tmp_path.iterdir()) == []


def test_the_password_is_in_a_private_file(settings: Settings, tmp_path: Path, executed: list[dict[str, str]]) -> None:
    with pytest.raises(Replaced):
        exec_airflow("api-server", settings, {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW_PASSWORD": "long enough"})
    file = Path(executed[0]["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert json.loads(file.read_text()) == {"admin": "long enough"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_processes_without_logins_need_no_password(
    settings: Settings, tmp_path: Path, executed: list[dict[str, str]]
) -> None:
    with pytest.raises(Replaced):
        exec_airflow("scheduler", settings, {"AIRFLOW_HOME": str(tmp_path)})
    assert "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE" not in executed[0]
