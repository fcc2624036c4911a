"""The program of the replay server in this process, with a fixed clock."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from producer.replay import __main__ as module
from tests.conftest import free_ports, make_settings
from tests.waiting import until
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable

NOW = datetime(2026, 7, 14, 12, 22, 33, 456_789, tzinfo=UTC)


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[], None]]:
    """The signal handlers of the program, which are not installed in this process; its clock stands still."""
    handlers: dict[int, Callable[[], None]] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(module, "_now", lambda: NOW)
    return handlers


def serve(settings: Settings, handlers: dict[int, Callable[[], None]], number: signal.Signals) -> dict[str, Any]:
    """The response of `/health` of a server that is then stopped by a signal."""
    running = threading.Thread(target=module.serve, args=(settings,))
    running.start()

    def health() -> Any:
        try:
            return requests.get(f"{settings.replay_url}/health", timeout=60).json()
        except requests.ConnectionError:
            assert running.is_alive()
            return None

    found: dict[str, Any] = until("the server responds", health)
    handlers[number]()
    running.join(60)
    assert not running.is_alive()
    return found


def test_the_line_of_a_started_server_has_the_times_of_the_replay_and_of_the_data_in_seconds(
    tmp_path: Path, handlers: dict[int, Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(tmp_path, replay_start_hours=30)
    health = serve(settings, handlers, signal.SIGTERM)
    line = capsys.readouterr().out
    assert health["faults"] == 0
    assert "%" not in line
    assert f" {settings.replay_url}: " in line
    assert " 3 stations" in line
    assert " 2026-07-13T06:22:33Z, " in line
    assert " 2013-07-13T06:22:33Z\n" in line


def test_faults_are_injected_only_if_configured_and_are_announced(
    tmp_path: Path, handlers: dict[int, Callable[[], None]], capsys: pytest.CaptureFixture[str]
) -> None:
    health = serve(make_settings(tmp_path, replay_faults=0.125), handlers, signal.SIGINT)
    assert health["faults"] == 0.125
    assert " 12.5% " in capsys.readouterr().out


@pytest.mark.parametrize(("setting", "value"), [("replay_faults", "0.3"), ("kaggle_zip", "missing.zip")])
def test_a_setting_that_cannot_be_used_has_an_exit_code_of_its_own(
    setting: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable("state_dir"), str(tmp_path))
    monkeypatch.setenv(variable("replay_port"), str(free_ports(1)[0]))
    monkeypatch.setenv(variable(setting), value)
    assert module.main() == 2
    assert value in capsys.readouterr().err
