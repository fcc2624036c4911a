"""Polls a Ray job in Airflow's triggerer and copies its new output to the task log."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from plugins.ray_submission.client import RayHeadError, RayJobs, Submission, token_from

POLL_SECONDS = 3.0
HEAD_TIMEOUT_SECONDS = 60.0
"""How long to wait for a head that does not respond."""
MAX_LINES_PER_POLL = 50
LOG_TAIL_LINES = 25
LOST = "LOST"


class RayJobTrigger(BaseTrigger):
    """Waits for the end of a Ray job.

    The event has `status` (SUCCEEDED, FAILED, STOPPED, or LOST if the head does not respond or does not have the job),
    `reason`, and `log_tail` (the last lines of its output).
    """

    def __init__(self, dashboard: str, submission_id: str, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__()
        self.dashboard = dashboard
        self.submission_id = submission_id
        self.poll_seconds = poll_seconds
        self._lines_logged = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "plugins.ray_submission.trigger.RayJobTrigger",
            {"dashboard": self.dashboard, "submission_id": self.submission_id, "poll_seconds": self.poll_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        jobs = self._jobs()
        responded_at, status = time.monotonic(), ""
        while True:
            try:
                submission, output = await asyncio.to_thread(self._poll, jobs)
                responded_at = time.monotonic()
            except RayHeadError as error:
                if time.monotonic() - responded_at > HEAD_TIMEOUT_SECONDS:
                    yield TriggerEvent({"status": LOST, "reason": str(error), "log_tail": []})
                    return
                self.log.warning("%s", error)
                await asyncio.sleep(self.poll_seconds)
                continue
            if submission is None:
                reason = f"the Ray head was restarted and no longer has the job {self.submission_id}"
                yield TriggerEvent({"status": LOST, "reason": reason, "log_tail": []})
                return
            if submission.status != status:
                status = submission.status
                self.log.info("Ray job %s is %s", self.submission_id, status)
            lines = readable_lines(output)
            self._log_new(lines if submission.ended or output.endswith("\n") else lines[:-1])
            if submission.ended:
                yield TriggerEvent(
                    {"status": status, "reason": submission.message, "log_tail": lines[-LOG_TAIL_LINES:]}
                )
                return
            await asyncio.sleep(self.poll_seconds)

    async def on_kill(self) -> None:
        """Stop the job when a user marks or clears the task. Ray sends SIGTERM, and SIGKILL three seconds later."""
        self.log.info("Stopping Ray job %s", self.submission_id)
        await asyncio.to_thread(self._jobs().stop, self.submission_id)

    def _jobs(self) -> RayJobs:
        return RayJobs(self.dashboard, token_from(os.environ))

    def _poll(self, jobs: RayJobs) -> tuple[Submission | None, str]:
        submission = jobs.find(self.submission_id)
        return submission, jobs.log(self.submission_id) if submission else ""

    def _log_new(self, lines: list[str]) -> None:
        new = lines[self._lines_logged :]
        if len(new) > MAX_LINES_PER_POLL:
            self.log.info("(%d lines omitted, see Ray's dashboard)", len(new) - MAX_LINES_PER_POLL)
        for line in new[-MAX_LINES_PER_POLL:]:
            self.log.info("%s", line)
        self._lines_logged = max(self._lines_logged, len(lines))


def readable_lines(output: str) -> list[str]:
    """Non-empty lines of a job's output. Of a progress bar, which rewrites its line, only the last state."""
    lines = (line.rstrip().rpartition("\r")[2] for line in output.split("\n"))
    return [line for line in lines if line.strip()]
