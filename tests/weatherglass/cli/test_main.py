"""The commands `weatherglass`, `make up` and `make down`: invalid settings, ports in use, and nothing running."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from weatherglass.cli import main as cli
from weatherglass.launcher import __main__ as launcher
from weatherglass.launcher.ports import RAY_RANGE
from weatherglass.launcher.status import NOT_RUNNING
from weatherglass.settings import LOOPBACK, PROJECT_ROOT, Settings
from weatherglass.settings_errors import variable

pytestmark = pytest.mark.integration

MODULES = {"up": ["weatherglass.launcher"], "down": ["weatherglass.launcher"], "status": ["weatherglass"]}


def environment(settings: Settings) -> dict[str, str]:
    fields = ["state_dir", *(name for name in Settings.model_fields if name.endswith("_port"))]
    return {**os.environ, **{variable(name): str(getattr(settings, name)) for name in fields}}


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *MODULES[command], command],
        env=environment,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_invalid_settings_exit_with_status_2_and_create_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("WEATHERGLASS_KAFKA_PORT", "80")
    main = cli.main if command == "status" else launcher.main
    assert main([command]) == cli.INVALID_SETTINGS == launcher.INVALID_SETTINGS
    assert not (tmp_path / "state").exists()


def test_invalid_settings_are_named_with_value_and_allowed_values(settings: Settings) -> None:
    done = run("up", {**environment(settings), "WEATHERGLASS_KAFKA_PORT": "80", "WEATHERGLASS_SOURCE": "moon"})
    assert done.returncode == launcher.INVALID_SETTINGS
    for text in ("WEATHERGLASS_KAFKA_PORT", "80", "1024", "WEATHERGLASS_SOURCE", "moon", "replay"):
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_without_processes_status_exits_with_3_and_down_with_0(settings: Settings) -> None:
    for command, status in (("status", NOT_RUNNING), ("down", 0)):
        done = run(command, environment(settings))
        assert done.returncode == status
        assert str(settings.state_dir) in done.stdout


def test_a_port_in_use_ends_the_start_before_any_program_starts(settings: Settings) -> None:
    start = 20_000 + (os.getpid() * 101) % 10_000 // RAY_RANGE * RAY_RANGE
    with socket.create_server((LOOPBACK, settings.kafka_port)):
        done = run("up", {**environment(settings), variable("ray_worker_port_min"): str(start)})
    assert done.returncode == 1
    assert variable("kafka_port") in done.stdout
    assert str(settings.kafka_port) in done.stdout
    assert not (settings.state_dir / "kafka").exists()
    assert "Traceback" not in done.stdout + done.stderr


def test_a_closed_pipe_is_not_an_error(settings: Settings) -> None:
    """As in `weatherglass status | head -1`; here the reader exits before anything is written."""
    command = f"{sys.executable} -m weatherglass status | true"
    command += '; exit "${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", command], cwd=PROJECT_ROOT, env=environment(settings), capture_output=True, text=True
    )
    assert (done.stderr, done.returncode) == ("", 1)
