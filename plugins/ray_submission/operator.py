"""Submits a job to the Ray head and waits for its end without a slot or a process of its own."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException

from plugins.ray_submission.client import RayJobs, Submission, token_from
from plugins.ray_submission.trigger import RayJobTrigger


class RayJobOperator(BaseOperator):
    """Runs a command as a Ray job. A retried or cleared task finds a submission that still runs and attaches to it.

    Args:
        dashboard: the URL of the Ray head's dashboard.
        argv: the command; it gets the worker's WEATHERGLASS_* settings.
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
            RayHeadError: the head does not answer, or refuses the job.
        """
        jobs = RayJobs(self.dashboard, token_from(os.environ))
        submission_id, found = self._submission(jobs, submission_id_of(context))
        if found:
            self.log.info("Ray job %s is %s already; watching it", submission_id, found.status)
        else:
            settings = {name: value for name, value in os.environ.items() if name.startswith("WEATHERGLASS_")}
            jobs.submit(submission_id, shlex.join(self.argv), settings)
            self.log.info("submitted Ray job %s to %s: %s", submission_id, self.dashboard, shlex.join(self.argv))
        self.defer(trigger=RayJobTrigger(self.dashboard, submission_id), method_name="ended")

    def _submission(self, jobs: RayJobs, wanted: str) -> tuple[str, Submission | None]:
        """The submission of this task that still runs, or the first id that is free.

        An ended one keeps its id: Ray's supervisor of it lingers under that name and would end the next one too.
        """
        for number in itertools.count(1):
            submission_id = wanted if number == 1 else f"{wanted}.{number}"
            found = jobs.find(submission_id)
            if found is None or not found.ended:
                break
        return submission_id, found

    def ended(self, context: Context, event: dict[str, Any]) -> None:  # noqa: ARG002
        """Raises: AirflowException: the job did not succeed; with its last words."""
        if event["status"] == "SUCCEEDED":
            return
        for line in event["words"]:
            self.log.error("ray job| %s", line)
        words = f"; its last words: {event['words'][-1]}" if event["words"] else ""
        raise AirflowException(f"the Ray job ended as {event['status']}: {event['why']}{words}")


def submission_id_of(context: Context) -> str:
    """The same for every try of a task in a run."""
    task = context["ti"]
    return re.sub(r"[^\w.-]+", "-", f"{task.dag_id}.{task.task_id}.{task.run_id}")
