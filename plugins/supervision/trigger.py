"""Watches a long-lived job from Airflow's triggerer: no process or slot of its own, some microseconds a look.

It writes `stop` and `kill` and nothing else; the job host acts on them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from plugins.supervision.progress_reader import ProgressReader
from weatherglass.jobs.folder import JobFolder

USER = "a user in Airflow"
"""Who asks for a stop by marking the task or clearing it. Only this stop ends a run."""

LOOK_SECONDS = 0.5
GRACE_SECONDS = 120.0
SILENCE_SECONDS = 30.0
STOP_SECONDS = 26.0
"""The host has sent TERM and KILL by then; Airflow cuts `on_kill` off after 30."""
KILL_SECONDS = 10.0


class SilenceCheck:
    """How long the heartbeat has stood still while we looked on.

    On the steady clock and only while watched: neither a laptop's sleep nor a corrected clock makes a job silent.
    """

    def __init__(self, folder: JobFolder, now: float):
        self.folder = folder
        self._beat = self._last_beat()
        self._changed = now

    def seconds(self, now: float) -> float:
        beat = self._last_beat()
        if beat != self._beat:
            self._beat, self._changed = beat, now
        return now - self._changed

    def _last_beat(self) -> int:
        try:
            return self.folder.heartbeat.stat().st_mtime_ns
        except FileNotFoundError:
            return 0


class JobTrigger(BaseTrigger):
    """Tells the job's progress until it has ended, then how.

    The event: `ok` and `why` as in the job's outcome, `stopped_by` (who asked for a stop, or None), `attended`
    (whether it was seen alive; else it ended while nobody watched).

    Args:
        folder: the job's folder.
        silence_seconds: a heartbeat this old means that the job hangs; it is killed.
        grace_seconds: time after the start in which a job may be silent.
    """

    def __init__(
        self, folder: str, silence_seconds: float = SILENCE_SECONDS, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        super().__init__()
        self.folder = folder
        self.silence_seconds = silence_seconds
        self.grace_seconds = grace_seconds
        self._start_id: str | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "plugins.supervision.trigger.JobTrigger",
            {
                "folder": self.folder,
                "silence_seconds": self.silence_seconds,
                "grace_seconds": self.grace_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        folder = JobFolder(Path(self.folder))
        started = folder.started()
        self._start_id = started.get("start_id")
        attended, hung = False, ""
        progress = ProgressReader(folder.progress)
        silence = SilenceCheck(folder, time.monotonic())
        if folder.alive():
            self.log.info("watching %s, process %s since %s", folder.name, started.get("pid"), started.get("at"))
            last = folder.last_progress()
            if last and str(last.get("at", "")) >= str(started.get("at", "")):
                self.log.info("%s", last.get("said"))
        while folder.alive():
            attended = True
            for line in progress.news(time.monotonic()):
                self.log.info("%s", line)
            silent = silence.seconds(time.monotonic())
            if silent > self.silence_seconds and _age(started) > self.grace_seconds:
                hung = f"made no progress for {silent:.0f} s (allowed are {self.silence_seconds:g} s), so it was killed"
                self.log.error("%s %s", folder.name, hung)
                folder.request_kill("the supervisor, after a silence")
                if not await _ended(folder, KILL_SECONDS):
                    hung += "; but it still lives: does the job host run?"
                break
            await asyncio.sleep(LOOK_SECONDS)
        for line in progress.rest():
            self.log.info("%s", line)
        outcome = folder.outcome()
        yield TriggerEvent(
            {
                "ok": outcome.ok and not hung,
                "why": hung or outcome.why,
                "stopped_by": None if hung else folder.stop_requested_by(),
                "attended": attended,
            }
        )

    async def on_kill(self) -> None:
        """A user marked the task or cleared it: stop the job, in the end by force. Never called at a shutdown."""
        folder = JobFolder(Path(self.folder))
        if not folder.alive() or not self._is_ours(folder):
            return
        folder.request_stop(USER)
        self.log.info("stopping %s: it finishes its batch first", folder.name)
        if not await _ended(folder, STOP_SECONDS) and self._is_ours(folder):
            self.log.warning("%s did not stop in %.0f s and is killed", folder.name, STOP_SECONDS)
            folder.request_kill(USER)
            return
        self.log.info("%s: %s", folder.name, folder.outcome().why)

    def _is_ours(self, folder: JobFolder) -> bool:
        """Whether the job is still the start that was watched, and not already the next try's."""
        return self._start_id is None or folder.started().get("start_id") == self._start_id


def _age(started: dict[str, Any]) -> float:
    """Seconds since the host started the job; endless if that is not known."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(started["at"])).total_seconds()
    except (KeyError, ValueError):
        return float("inf")


async def _ended(folder: JobFolder, seconds: float) -> bool:
    """Whether the job ends within the time."""
    end = time.monotonic() + seconds
    while folder.alive():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.2)
    return True
