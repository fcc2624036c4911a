"""A Spark batch job of this project as a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Context

from plugins import policy
from plugins.run_notes import summarize
from spark_jobs.spark_conf import batch_conf
from weatherglass.settings import PROJECT_ROOT, load_settings


class SparkBatchOperator(SparkSubmitOperator):
    """Submits `spark_jobs/<application>.py` with the batch configuration, in the pool for heavy tasks.

    Arguments that are empty after rendering are omitted, so that optional parameters of a DAG can be passed as
    `{{ '--since=' ~ params.since if params.since else '' }}`.

    Args:
        outlet_extra: text for the event of the outlet, a template: key -> value.
        summary: called after the job; its result is the summary in the note of the run.
    """

    template_fields: Sequence[str] = (*SparkSubmitOperator.template_fields, "outlet_extra")

    def __init__(
        self,
        *,
        application: str,
        arguments: list[str],
        outlet_extra: Mapping[str, str] | None = None,
        summary: Callable[[], str] | None = None,
        **kwargs: Any,
    ):
        self.summary = summary
        self.outlet_extra = dict(outlet_extra or {})
        super().__init__(
            application=str(PROJECT_ROOT / "spark_jobs" / f"{application}.py"),
            application_args=arguments,
            conf=batch_conf(load_settings()),
            name=application,
            pool=policy.HEAVY_POOL,
            **kwargs,
        )

    def execute(self, context: Context) -> None:
        self.application_args = [argument for argument in self.application_args or [] if argument]
        super().execute(context)
        if self.summary:
            summarize(context["ti"], self.summary)
        for outlet in self.outlets if self.outlet_extra else ():
            context["outlet_events"][outlet].extra = {**self.outlet_extra}


def optional_argument(name: str) -> str:
    """Template of the argument `--name=value` for a parameter of the DAG; empty if the parameter is null."""
    return f"{{{{ '--{name}=' ~ params.{name} if params.{name} else '' }}}}"
