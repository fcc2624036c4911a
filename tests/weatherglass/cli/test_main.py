"""The command line: wrong settings in words, and a stack that does not run."""

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
from weatherglass.settings import LOOPBACK, PROJECT_ROOT, Settings, variable

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
def test_a_wrong_setting_is_refused_in_words(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("WEATHERGLASS_KAFKA_PORT", "80")
    main = cli.main if command == "status" else launcher.main
    assert main([command]) == 2
    assert not (tmp_path / "state").exists()


def test_the_words_name_the_setting_its_value_and_what_is_allowed(settings: Settings) -> None:
    done = run("up", {**environment(settings), "WEATHERGLASS_KAFKA_PORT": "80", "WEATHERGLASS_SOURCE": "moon"})
    assert done.returncode == 2
    for words in ("WEATHERGLASS_KAFKA_PORT", "80", "1024", "WEATHERGLASS_SOURCE", "moon", "replay"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_what_does_not_run_is_said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    done = run("status", environment(settings))
    assert done.returncode == 3
    assert "does not run" in done.stdout
    done = run("down", environment(settings))
    assert done.returncode == 0
    assert "does not run" in done.stdout


def test_a_port_in_use_stops_the_start_before_anything_runs(settings: Settings) -> None:
    start = 20_000 + (os.getpid() * 101) % 10_000 // RAY_RANGE * RAY_RANGE
    with socket.create_server((LOOPBACK, settings.kafka_port)):
        done = run("up", {**environment(settings), variable("ray_worker_port_min"): str(start)})
    assert done.returncode == 1
    assert variable("kafka_port") in done.stdout
    assert str(settings.kafka_port) in done.stdout
    assert not (settings.state_dir / "kafka").exists()
    assert "Traceback" not in done.stdout + done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(settings: Settings) -> None:
    """As in `weatherglass status | head -1`; this one leaves before anything is written."""
    command = f"{sys.executable} -m weatherglass status | true"
    done = subprocess.run(
        ["bash", "-c", command], cwd=PROJECT_ROOT, env=environment(settings), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
