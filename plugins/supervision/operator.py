"""The operator of a long-lived job: sees to it that one process of it runs, then hands over to the trigger."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException

from plugins.supervision.log_tail import log_tail
from plugins.supervision.trigger import GRACE_SECONDS, SILENCE_SECONDS, USER, JobTrigger
from weatherglass.jobs.folder import JobFolder, StartRequest

TAKE_SECONDS = 15.0
"""Within this the job host takes a start request; it looks five times a second."""
END_SECONDS = 60.0
"""Within this a job that was asked to stop has ended; the host kills it after 25."""


WORKED_SECONDS = 60.0
"""A job that worked for so long is started again at once; one that ended sooner would likely end again."""


class EndedAfterWork(AirflowException):
    """The job has ended, and had worked well before."""


class LongLivedJobOperator(BaseOperator):
    """Keeps one detached process running, and fails the try with the job's last words when it ends.

    If the job runs already, from an earlier try or before a restart of Airflow, it is watched on. If it is being
    stopped, its end is awaited and it is started anew. Only a user who marks or clears the task ends the job.

    Args:
        folder: the job's folder; its name is the job's name.
        argv: the command.
        environment: what is added to the job host's own environment.
        silence_seconds: a job without a sign of progress for so long is killed, and the try fails.
        grace_seconds: time after the start in which it may be silent.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#d7e8f0"

    def __init__(
        self,
        *,
        folder: Path,
        argv: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        silence_seconds: float = SILENCE_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.folder = folder
        self.argv = list(argv)
        self.environment = environment or {}
        self.silence_seconds = silence_seconds
        self.grace_seconds = grace_seconds
        self._requested = False

    def command(self) -> list[str]:
        """The command that starts the job; built on the worker, where connections can be read."""
        return self.argv

    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Attach or start, then wait in the triggerer.

        Raises:
            AirflowException: no job host took the request, or an old process does not end.
        """
        self._see_that_it_runs(JobFolder(self.folder))
        self.defer(trigger=JobTrigger(str(self.folder), self.silence_seconds, self.grace_seconds), method_name="ended")

    def ended(self, context: Context, event: dict[str, Any]) -> None:
        """The job has ended. No end is a success: this job is meant to run on.

        Raises:
            AirflowException: with the reason, so that the next try takes over.
        """
        job = self.folder.name
        stopped_by, why = event.get("stopped_by"), event.get("why")
        if stopped_by == USER:
            self.log.info("%s was stopped for an earlier try (%s); starting it again", job, why)
            return self.execute(context)
        if event.get("ok") and not event.get("attended"):
            self.log.info("%s had ended while nobody watched (%s); starting it again", job, why)
            return self.execute(context)
        words = log_tail(JobFolder(self.folder).log)
        for line in words:
            self.log.error("%s| %s", job, line)
        said = f"; its last words: {words[-1]}" if words else "; it printed nothing"
        ended = EndedAfterWork if JobFolder(self.folder).worked() >= WORKED_SECONDS else AirflowException
        raise ended(f"{job} ended: {why}{said} (all of its output: {JobFolder(self.folder).log})")

    def on_kill(self) -> None:
        """The task is ended before the trigger watches: withdraw the request, stop what it has started."""
        folder = JobFolder(self.folder)
        if self._requested:
            folder.start.unlink(missing_ok=True)
            if folder.alive():
                folder.request_stop(USER)

    def _see_that_it_runs(self, folder: JobFolder) -> None:
        if folder.alive():
            if not (folder.stop.exists() or folder.kill.exists()):
                self.log.info("%s runs already, process %s; watching it", folder.name, folder.started().get("pid"))
                return
            self.log.info("%s is being stopped by %s; waiting for its end", folder.name, folder.stop_requested_by())
            if not _within(END_SECONDS, lambda: not folder.alive()):
                raise AirflowException(
                    f"{folder.name} was asked to stop and still runs after {END_SECONDS:g} s, process "
                    f"{folder.started().get('pid')}; does the job host run? (docs/troubleshooting.md, Logs)"
                )
        before = folder.started().get("start_id")
        self._requested = True
        folder.request_start(StartRequest(self.command(), self.environment))
        if not _within(TAKE_SECONDS, lambda: folder.started().get("start_id") != before or _runs(folder)):
            folder.start.unlink(missing_ok=True)
            raise AirflowException(
                f"no job host took the request to start {folder.name} within {TAKE_SECONDS:g} s: start one that looks "
                f"after {self.folder.parent} (docs/troubleshooting.md, Logs; alone: `python -m weatherglass.jobs.host`)"
            )
        self.log.info("%s is started, process %s", folder.name, folder.started().get("pid"))


def _runs(folder: JobFolder) -> bool:
    """Somebody else's request was quicker."""
    return folder.alive() and not folder.start.exists()


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
