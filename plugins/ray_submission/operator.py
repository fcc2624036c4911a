"""Operator that submits a job to the Ray head and defers until its end."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException

from plugins.ray_submission.client import RayJobs, Submission, token_from
from plugins.ray_submission.trigger import RayJobTrigger
from weatherglass.settings_errors import variable


class RayJobOperator(BaseOperator):
    """Runs a command as a Ray job. A retried or cleared task attaches to a submission that is still running.

    Args:
        dashboard: the URL of the Ray head's dashboard.
        argv: the command; it receives the worker's WEATHERGLASS_* settings.
    """

    template_fields: Sequence[str] = ("argv",)
    ui_color = "#e4dcf4"

    def __init__(self, *, dashboard: str, argv: Sequence[str], **kwargs: Any):
        super().__init__(**kwargs)
        self.dashboard = dashboard
        self.argv = list(argv)

    def execute(self, context: Context) -> None:
        """Attach or submit, then wait in the triggerer.

        Raises:
            RayHeadError: the head does not respond, or rejects the job.
        """
        jobs = RayJobs(self.dashboard, token_from(os.environ))
        submission_id, running = self._submission(jobs, submission_id_of(context))
        if running:
            self.log.info("Attaching to Ray job %s, which is %s", submission_id, running.status)
        else:
            jobs.submit(submission_id, shlex.join(self.argv), job_environment(os.environ))
            self.log.info("Submitted Ray job %s to %s: %s", submission_id, self.dashboard, shlex.join(self.argv))
        self.defer(trigger=RayJobTrigger(self.dashboard, submission_id), method_name="job_ended")

    def _submission(self, jobs: RayJobs, base_id: str) -> tuple[str, Submission | None]:
        """The submission of this task that is still running, or the first free id.

        The id of an ended submission is not reused, because its supervisor remains in Ray for a while and would end
        the next submission too.
        """
        for number in itertools.count(1):
            submission_id = base_id if number == 1 else f"{base_id}.{number}"
            submission = jobs.find(submission_id)
            if submission is None or not submission.ended:
                break
        return submission_id, submission

    def job_ended(self, context: Context, event: dict[str, Any]) -> None:  # noqa: ARG002
        """Handle the end of the job.

        Raises:
            AirflowException: the job did not succeed; with the end of its output.
        """
        if event["status"] == "SUCCEEDED":
            return
        for line in event["log_tail"]:
            self.log.error("ray job| %s", line)
        lines = event["log_tail"]
        last_line = f"; last line of its output: {lines[-1]}" if lines else ""
        raise AirflowException(f"the Ray job ended as {event['status']}: {event['reason']}{last_line}")


def job_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings, which Ray's dashboard shows; without those of the API, whose token no job needs."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("WEATHERGLASS_") and not name.startswith(variable("api_"))
    }


def submission_id_of(context: Context) -> str:
    """An id that is the same for every try of a task in a run."""
    task = context["ti"]
    return re.sub(r"[^\w.-]+", "-", f"{task.dag_id}.{task.task_id}.{task.run_id}")
