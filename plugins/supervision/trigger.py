"""Supervises a long-lived job in Airflow's triggerer, without a process or slot of its own.

It only writes the files `restart`, `stop` and `kill`; the job host acts on them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from plugins.supervision.log_tail import log_tail
from plugins.supervision.progress_reader import ProgressReader
from weatherglass.jobs.folder import JobFolder

AIRFLOW_USER = "a user in Airflow"
"""Requester of a stop by marking or clearing the task. Only this stop ends a run."""

POLL_SECONDS = 0.5
STARTUP_GRACE_SECONDS = 120.0
HEARTBEAT_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 26.0
"""By then the host has sent SIGTERM and SIGKILL. Airflow interrupts `on_kill` after 30 s."""
KILL_TIMEOUT_SECONDS = 10.0
RESTART_TIMEOUT_SECONDS = 5.0
"""Time for the job host to restart a job; it polls five times a second."""
MIN_WORK_SECONDS = 60.0
"""A job that has worked for so long is restarted at once; one that ended earlier would probably end again."""


class HeartbeatMonitor:
    """Measures how long the heartbeat has not changed.

    Uses the monotonic clock and counts only while it is called, so that neither suspending the machine nor setting its
    clock is mistaken for a missing heartbeat.
    """

    def __init__(self, folder: JobFolder, now: float):
        self.folder = folder
        self._last = self._read()
        self._changed_at = now

    def seconds(self, now: float) -> float:
        """Seconds since the last change of the heartbeat."""
        heartbeat = self._read()
        if heartbeat != self._last:
            self._last, self._changed_at = heartbeat, now
        return now - self._changed_at

    def _read(self) -> int:
        try:
            return self.folder.heartbeat.stat().st_mtime_ns
        except FileNotFoundError:
            return 0


class JobTrigger(BaseTrigger):
    """Logs the job's progress until the job ends. Restarts a job that had worked, or else fires.

    The restart by the trigger saves the start of a task process. It fires if the job host cannot restart the job,
    because it has been restarted as well; then the task starts the job.

    The event has `ok` and `reason` (the job's outcome), `code` (`ended` or `hung`), `stopped_by` (who requested a stop,
    or None), and `observed` (False if the job had already ended when the trigger started).

    Args:
        folder: the job's folder.
        heartbeat_timeout: seconds without a heartbeat after which the job is killed.
        startup_grace: seconds after the start in which heartbeats may be missing.
    """

    def __init__(
        self,
        folder: str,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT_SECONDS,
        startup_grace: float = STARTUP_GRACE_SECONDS,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.heartbeat_timeout = heartbeat_timeout
        self.startup_grace = startup_grace
        self._start_id: str | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "plugins.supervision.trigger.JobTrigger",
            {
                "folder": self.folder,
                "heartbeat_timeout": self.heartbeat_timeout,
                "startup_grace": self.startup_grace,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        folder = JobFolder(Path(self.folder))
        while True:
            event = await self._supervise(folder)
            if not (event["observed"] and worked(folder, event) and await self._restart(folder, event["reason"])):
                yield TriggerEvent(event)
                return

    async def _supervise(self, folder: JobFolder) -> dict[str, Any]:
        """Log the progress of the present start until it ends; the event."""
        started = folder.started()
        self._start_id = started.get("start_id")
        observed, hung = False, ""
        progress = ProgressReader(folder.progress)
        heartbeat = HeartbeatMonitor(folder, time.monotonic())
        if folder.alive():
            self.log.info("Supervising %s, process %s since %s", folder.name, started.get("pid"), started.get("at"))
            last = folder.last_progress()
            if last and str(last.get("at", "")) >= str(started.get("at", "")):
                self.log.info("%s", last.get("message"))
        while folder.alive():
            observed = True
            for line in progress.new_lines(time.monotonic()):
                self.log.info("%s", line)
            missing = heartbeat.seconds(time.monotonic())
            if missing > self.heartbeat_timeout and _seconds_since_start(started) > self.startup_grace:
                hung = f"No heartbeat for {missing:.0f} s (timeout {self.heartbeat_timeout:g} s), killed"
                self.log.error("%s: %s", folder.name, hung)
                folder.request_kill("supervisor (heartbeat timeout)")
                if not await _ended_within(folder, KILL_TIMEOUT_SECONDS):
                    hung += ", but still running; check that the job host runs"
                break
            await asyncio.sleep(POLL_SECONDS)
        for line in progress.remaining_lines():
            self.log.info("%s", line)
        outcome = folder.outcome()
        return {
            "ok": outcome.ok and not hung,
            "code": "hung" if hung else "ended",
            "reason": hung or outcome.reason,
            "stopped_by": None if hung else folder.stop_requested_by(),
            "observed": observed,
        }

    async def _restart(self, folder: JobFolder, reason: str) -> bool:
        """Let the host start the job again; False if it does not."""
        self.log.error("%s; starting it again", describe_end(self.log, folder, reason))
        last_start, self._start_id = self._start_id, None
        folder.request_restart()
        end = time.monotonic() + RESTART_TIMEOUT_SECONDS
        while folder.restart.exists() and time.monotonic() < end:
            await asyncio.sleep(0.1)
        folder.restart.unlink(missing_ok=True)
        return folder.started().get("start_id") != last_start

    async def on_kill(self) -> None:
        """Stop the job, by force if necessary, when a user marks or clears the task. Not called at a shutdown."""
        folder = JobFolder(Path(self.folder))
        folder.restart.unlink(missing_ok=True)
        if not folder.alive() or not self._is_same_start(folder):
            return
        folder.request_stop(AIRFLOW_USER)
        self.log.info("Stopping %s after its current batch", folder.name)
        if not await _ended_within(folder, STOP_TIMEOUT_SECONDS) and self._is_same_start(folder):
            self.log.warning("%s did not stop within %.0f s, killing it", folder.name, STOP_TIMEOUT_SECONDS)
            folder.request_kill(AIRFLOW_USER)
            return
        self.log.info("%s: %s", folder.name, folder.outcome().reason)

    def _is_same_start(self, folder: JobFolder) -> bool:
        """Whether the job is still the supervised start, not one by a later try."""
        return self._start_id is None or folder.started().get("start_id") == self._start_id


def worked(folder: JobFolder, event: dict[str, Any]) -> bool:
    """Whether a job that had worked ended without a stop request, so that it is restarted immediately."""
    return not event.get("stopped_by") and folder.seconds_worked() >= MIN_WORK_SECONDS


def describe_end(log: Any, folder: JobFolder, reason: str) -> str:
    """Log the end of the job's output, and return how it ended in one line."""
    lines = log_tail(folder.log)
    for line in lines:
        log.error("%s| %s", folder.name, line)
    last_line = f"last line of its output: {lines[-1]}" if lines else "no output"
    return f"{folder.name} ended: {reason}; {last_line} (complete output: {folder.log})"


def _seconds_since_start(started: dict[str, Any]) -> float:
    """Seconds since the host started the job; infinite if unknown."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(started["at"])).total_seconds()
    except (KeyError, ValueError):
        return float("inf")


async def _ended_within(folder: JobFolder, seconds: float) -> bool:
    """Whether the job ended within the time."""
    end = time.monotonic() + seconds
    while folder.alive():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.2)
    return True
