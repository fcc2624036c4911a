"""Operator of a long-lived job: ensures that one process of it is running, then defers to the trigger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException

from plugins.supervision.trigger import (
    AIRFLOW_USER,
    HEARTBEAT_TIMEOUT_SECONDS,
    STARTUP_GRACE_SECONDS,
    JobTrigger,
    describe_end,
    worked,
)
from weatherglass.jobs.folder import JobFolder, StartRequest
from weatherglass.waiting import wait_until

START_TIMEOUT_SECONDS = 15.0
"""Time for the job host to accept a start request; it polls five times a second."""
STOP_TIMEOUT_SECONDS = 60.0
"""Time for a job to end after a stop request; the host kills it after 25."""


class LongLivedJobOperator(BaseOperator):
    """Keeps one detached process running. When it ends, the log shows the end of its output.

    A job that had worked is started again by the trigger, or else by the same try: the delay between tries grows with
    their number, which is meant for repeated failures. Otherwise the try fails.

    A job that is already running, from an earlier try or before a restart of Airflow, is supervised further. If it is
    being stopped, the operator waits for its end and starts it again. Only a user who marks or clears the task ends the
    job.

    Args:
        folder: the job's folder; its name is the job's name.
        argv: the command.
        environment: variables added to the job host's own environment.
        heartbeat_timeout: seconds without a heartbeat after which the job is killed and the try fails.
        startup_grace: seconds after the start in which heartbeats may be missing.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#d7e8f0"

    def __init__(
        self,
        *,
        folder: Path,
        argv: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT_SECONDS,
        startup_grace: float = STARTUP_GRACE_SECONDS,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.folder = folder
        self.argv = list(argv)
        self.environment = environment or {}
        self.heartbeat_timeout = heartbeat_timeout
        self.startup_grace = startup_grace
        self._requested = False

    def command(self) -> list[str]:
        """The command that starts the job; built on the worker, where connections can be read."""
        return self.argv

    def execute(self, context: Context) -> None:  # noqa: ARG002
        """Attach to the job or start it, then wait in the triggerer.

        Raises:
            AirflowException: no job host accepted the request, or an old process does not end.
        """
        self._ensure_running(JobFolder(self.folder))
        trigger = JobTrigger(str(self.folder), self.heartbeat_timeout, self.startup_grace)
        self.defer(trigger=trigger, method_name="job_ended")

    def job_ended(self, context: Context, event: dict[str, Any]) -> None:
        """Handle the end of the job. No end is a success, because the job is meant to run without end.

        Raises:
            AirflowException: with the reason, so that the task is retried later.
        """
        job, folder = self.folder.name, JobFolder(self.folder)
        stopped_by, reason = event.get("stopped_by"), event.get("reason")
        if stopped_by == AIRFLOW_USER:
            self.log.info("%s was stopped for an earlier try (%s), starting it again", job, reason)
            return self.execute(context)
        if event.get("ok") and not event.get("observed"):
            self.log.info("%s had ended while it was not supervised (%s), starting it again", job, reason)
            return self.execute(context)
        message = describe_end(self.log, folder, str(reason))
        if not worked(folder, event):
            raise AirflowException(message)
        self.log.error("%s; starting it again", message)
        return self.execute(context)

    def on_kill(self) -> None:
        """Withdraw the start request, or stop the job it started, if the task ends before the trigger supervises."""
        folder = JobFolder(self.folder)
        if self._requested:
            folder.start.unlink(missing_ok=True)
            if folder.alive():
                folder.request_stop(AIRFLOW_USER)

    def _ensure_running(self, folder: JobFolder) -> None:
        if folder.alive():
            if not (folder.stop.exists() or folder.kill.exists()):
                self.log.info("%s is already running, process %s", folder.name, folder.started().get("pid"))
                return
            self.log.info("Waiting for the end of %s, stopped by %s", folder.name, folder.stop_requested_by())
            if not wait_until(lambda: not folder.alive(), STOP_TIMEOUT_SECONDS):
                raise AirflowException(
                    f"{folder.name} did not stop within {STOP_TIMEOUT_SECONDS:g} s of the request, process "
                    f"{folder.started().get('pid')}; check that the job host runs (docs/troubleshooting.md, Logs)"
                )
        last_start = folder.started().get("start_id")
        self._requested = True
        folder.request_start(StartRequest(self.command(), self.environment))

        def accepted() -> bool:
            started_by_other = folder.alive() and not folder.start.exists()
            return folder.started().get("start_id") != last_start or started_by_other

        if not wait_until(accepted, START_TIMEOUT_SECONDS):
            folder.start.unlink(missing_ok=True)
            raise AirflowException(
                f"no job host accepted the request to start {folder.name} within {START_TIMEOUT_SECONDS:g} s; start "
                f"one for {self.folder.parent} (docs/troubleshooting.md, Logs; by hand: "
                "`python -m weatherglass.jobs.host`)"
            )
        self.log.info("Started %s, process %s", folder.name, folder.started().get("pid"))
