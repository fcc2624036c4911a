"""A Spark application that never ends, as a long-lived job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.supervision.operator import LongLivedJobOperator


class SparkStreamOperator(LongLivedJobOperator):
    """Builds the command from an Airflow connection with the Spark provider's hook.

    The application gets its job folder as its only argument.

    Args:
        application: path of the Python application.
        conf: Spark's configuration.
        conn_id: the Spark connection: master, deploy mode, name of the binary.
    """

    def __init__(self, *, application: Path, conf: dict[str, str], conn_id: str = "spark_default", **kwargs: Any):
        super().__init__(**kwargs)
        self.application = application
        self.conf = conf
        self.conn_id = conn_id

    def command(self) -> list[str]:
        from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook

        hook = SparkSubmitHook(
            conf=self.conf, conn_id=self.conn_id, name=self.folder.name, application_args=[str(self.folder)]
        )
        return list(hook._build_spark_submit_command(str(self.application)))
