"""`make down`: ends a stack from elsewhere, also one whose launcher was killed."""

from __future__ import annotations

import contextlib
import os
import signal

from weatherglass.launcher.console import Console
from weatherglass.launcher.processes import ProcessRecords, members
from weatherglass.launcher.stopping import LAUNCHER, launcher_runs, stop_everything
from weatherglass.settings import Settings
from weatherglass.waiting import wait_until

LAUNCHER_SECONDS = 50.0
"""The launcher needs at most 45 s to stop everything."""


def down(settings: Settings) -> int:
    """Stop the stack; 0 if nothing of it is left."""
    progress = Console()
    records = ProcessRecords(settings)
    launcher = records.read(LAUNCHER)
    if launcher and launcher.alive():
        progress.say("asking the launcher to stop everything")
        with contextlib.suppress(ProcessLookupError):
            os.kill(launcher.pid, signal.SIGTERM)
        if not wait_until(lambda: not launcher.alive(), LAUNCHER_SECONDS):
            progress.say(f"the launcher (process {launcher.pid}) does not end; killing it")
            with contextlib.suppress(ProcessLookupError):
                os.kill(launcher.pid, signal.SIGKILL)
            wait_until(lambda: not launcher.alive(), 5.0)
    elif not members(settings):
        progress.plain(f"Weatherglass does not run (state folder {settings.state_dir}).")
        return 0
    clean = not members(settings) or stop_everything(settings, progress.say)
    records.forget(LAUNCHER)
    if not clean or launcher_runs(settings):
        left = ", ".join(f"{process.pid} ({process.name()})" for process in members(settings))
        progress.say(f"these processes could not be ended: {left}")
        return 1
    progress.say("Weatherglass is down")
    return 0
