"""Watches a Ray job from Airflow's triggerer and copies its new output into the task log."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from plugins.ray_submission.client import RayHeadError, RayJobs, Submission, token_from

LOOK_SECONDS = 3.0
HEAD_PATIENCE = 60.0
"""Seconds for which a head that does not answer is waited for."""
LINES_A_LOOK = 50
LAST_WORDS = 25
LOST = "LOST"


class RayJobTrigger(BaseTrigger):
    """Waits for the end of a Ray job.

    The event: `status` (SUCCEEDED, FAILED, STOPPED, or LOST if the head no longer knows the job or is gone), `why`,
    `words` (the last lines of its output).
    """

    def __init__(self, dashboard: str, submission_id: str, look_seconds: float = LOOK_SECONDS) -> None:
        super().__init__()
        self.dashboard = dashboard
        self.submission_id = submission_id
        self.look_seconds = look_seconds
        self._lines_told = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "plugins.ray_submission.trigger.RayJobTrigger",
            {"dashboard": self.dashboard, "submission_id": self.submission_id, "look_seconds": self.look_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        jobs = self._jobs()
        answered, status = time.monotonic(), ""
        while True:
            try:
                found, output = await asyncio.to_thread(self._look, jobs)
                answered = time.monotonic()
            except RayHeadError as error:
                if time.monotonic() - answered > HEAD_PATIENCE:
                    yield TriggerEvent({"status": LOST, "why": str(error), "words": []})
                    return
                self.log.warning("%s", error)
                await asyncio.sleep(self.look_seconds)
                continue
            if found is None:
                why = f"the Ray head knows no job {self.submission_id}: it was restarted"
                yield TriggerEvent({"status": LOST, "why": why, "words": []})
                return
            if found.status != status:
                status = found.status
                self.log.info("Ray job %s is %s", self.submission_id, status)
            lines = readable(output)
            self._tell(lines if found.ended or output.endswith("\n") else lines[:-1])
            if found.ended:
                yield TriggerEvent({"status": status, "why": found.message, "words": lines[-LAST_WORDS:]})
                return
            await asyncio.sleep(self.look_seconds)

    async def on_kill(self) -> None:
        """A user marked the task or cleared it: stop the job. Ray sends TERM, and KILL three seconds later."""
        self.log.info("stopping Ray job %s", self.submission_id)
        await asyncio.to_thread(self._jobs().stop, self.submission_id)

    def _jobs(self) -> RayJobs:
        return RayJobs(self.dashboard, token_from(os.environ))

    def _look(self, jobs: RayJobs) -> tuple[Submission | None, str]:
        found = jobs.find(self.submission_id)
        return found, jobs.log(self.submission_id) if found else ""

    def _tell(self, lines: list[str]) -> None:
        new = lines[self._lines_told :]
        if len(new) > LINES_A_LOOK:
            self.log.info("(%d lines left out; Ray's dashboard has them all)", len(new) - LINES_A_LOOK)
        for line in new[-LINES_A_LOOK:]:
            self.log.info("%s", line)
        self._lines_told = max(self._lines_told, len(lines))


def readable(output: str) -> list[str]:
    """Lines of a job's output without empty ones; of a progress bar, which rewrites its line, the last state."""
    lines = (line.rstrip().rpartition("\r")[2] for line in output.split("\n"))
    return [line for line in lines if line.strip()]
