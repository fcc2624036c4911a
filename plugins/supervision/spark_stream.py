"""A Spark application that runs without end, as a long-lived job."""

from __future__ import annotations

from typing import Any

from plugins.supervision.operator import LongLivedJobOperator
from spark_jobs.spark_conf import environment, stream_conf
from weatherglass.settings import PROJECT_ROOT, load_settings


class SparkStreamOperator(LongLivedJobOperator):
    """Runs `spark_jobs/<application>.py` with the stream configuration, with its job folder as the only argument.

    Args:
        application: name of the module; the job has the same name.
        conn_id: Airflow connection with master, deploy mode and binary of Spark.
    """

    def __init__(self, *, application: str, conn_id: str = "spark_default", **kwargs: Any):
        settings = load_settings()
        super().__init__(folder=settings.jobs_dir / application, environment=environment(settings), **kwargs)
        self.application = PROJECT_ROOT / "spark_jobs" / f"{application}.py"
        self.conf = stream_conf(settings)
        self.conn_id = conn_id

    def command(self) -> list[str]:
        """`spark-submit` as the Spark provider's hook builds it."""
        from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

        hook = SparkSubmitHook(
            conf=self.conf, conn_id=self.conn_id, name=self.folder.name, application_args=[str(self.folder)]
        )
        return list(hook._build_spark_submit_command(str(self.application)))
