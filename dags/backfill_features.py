"""
### What it does
Computes window features of the past with the stream's own function, as a batch, and publishes them to
`weather-features`: for observations that came too late for the stream, because a station's gap was filled long after
the others had gone on. They lie in `weather-rejected` with the reason `late`, and in `weather-raw` still. Trigger it:

- `stations`: ids with commas between; empty is all.
- `since`, `until`: which windows, by their end, ISO 8601 with `Z`; at most 7 days ago. Only windows that the stream has
  closed are written; so a repeat does no harm, the last record of a window counts.

### What its log shows
Spark's own lines, and at the end how many windows were published.

### When it is red (triage)
- *nothing was filled in*: the stream has closed no window in that time; it takes what comes now by itself.
- *no Kafka broker answers*, timeouts: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*). A second
  try does no harm.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Param

from plugins import assets, policy
from spark_jobs.spark_conf import batch_conf
from weatherglass.settings import PROJECT_ROOT, load_settings

with DAG(
    dag_id="backfill_features",
    description="Window features of what came too late for the stream",
    doc_md=__doc__,
    schedule=None,
    dagrun_timeout=timedelta(hours=1),
    params={
        "stations": Param("", type="string", description="Ids with commas between; empty is all."),
        "since": Param(
            "2026-01-01T00:00:00Z", type="string", format="date-time", description="Windows that end later."
        ),
        "until": Param("2100-01-01T00:00:00Z", type="string", format="date-time", description="… and by then."),
    },
    tags=[policy.TAG, "spark", "kafka"],
    **policy.COMMON,
):
    SparkSubmitOperator(
        task_id="backfill",
        application=str(PROJECT_ROOT / "spark_jobs" / "backfill_features.py"),
        application_args=[
            "--stations={{ params.stations }}",
            "--since={{ params.since }}",
            "--until={{ params.until }}",
        ],
        conf=batch_conf(load_settings()),
        name="backfill_features",
        pool=policy.HEAVY_POOL,
        outlets=[assets.FEATURES],
    )
