"""`make down`: stops everything from another terminal, even after the launcher was killed."""

from __future__ import annotations

import contextlib
import os
import signal

from weatherglass.launcher.console import Console
from weatherglass.launcher.processes import (
    LAUNCHER,
    ProcessRecord,
    ProcessRecords,
    launched_processes,
    launcher_is_running,
)
from weatherglass.launcher.stopping import stop_everything
from weatherglass.settings import Settings
from weatherglass.waiting import wait_until

LAUNCHER_SECONDS = 50.0
"""The launcher needs at most 45 s to stop everything."""
KILL_SECONDS = 5.0


def down(settings: Settings) -> int:
    """Stop Weatherglass; the exit status is 0 if no process is left, else 1."""
    console = Console()
    records = ProcessRecords(settings)
    launcher = records.read(LAUNCHER)
    if launcher and launcher.alive():
        _stop_launcher(launcher, console)
    elif not launched_processes(settings):
        console.write(f"Weatherglass is not running (state folder {settings.state_dir}).")
        return 0
    stopped = not launched_processes(settings) or stop_everything(settings, console.log)
    records.remove(LAUNCHER)
    if not stopped or launcher_is_running(settings):
        left = ", ".join(f"{process.pid} ({process.name()})" for process in launched_processes(settings))
        console.log(f"these processes could not be ended: {left}")
        return 1
    console.log("Weatherglass is down")
    return 0


def _stop_launcher(launcher: ProcessRecord, console: Console) -> None:
    """Let the launcher stop everything; kill it if it does not end."""
    console.log("stopping the launcher and everything that it started")
    with contextlib.suppress(ProcessLookupError):
        os.kill(launcher.pid, signal.SIGTERM)
    if not wait_until(lambda: not launcher.alive(), LAUNCHER_SECONDS):
        console.log(f"the launcher (process {launcher.pid}) does not end; killing it")
        with contextlib.suppress(ProcessLookupError):
            os.kill(launcher.pid, signal.SIGKILL)
        wait_until(lambda: not launcher.alive(), KILL_SECONDS)
