"""
### What it does
Computes window features for past observations and publishes them to `weather-features`. Use it for observations that
arrived too late for the stream, for example after a station's gap was filled. They are in `weather-rejected` with the
reason `late`, and still in `weather-raw`. The batch uses the same functions as the stream. Parameters:

- `stations`: station ids separated by commas; empty selects all stations.
- `since`, `until`: selects windows by their end time; empty means no bound. `weather-raw` keeps 7 days. Only windows
  that the stream has closed for their station are written, so running it twice is harmless: the last record of a window
  is valid.

### What its log shows
Spark's output, and at the end the number of windows published.

### When it fails (triage)
- *Not finished any batch*: the stream has not read any message yet; it computes all windows itself.
- *The Kafka broker does not respond*, or timeouts: check that the broker runs and read its log
  (docs/troubleshooting.md, *Logs*). Then clear the task.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.spark_batch import SparkBatchOperator, optional_argument

with DAG(
    dag_id="backfill_features",
    dag_display_name="Backfill features",
    description="Computes window features for observations that arrived too late",
    doc_md=__doc__,
    schedule=None,
    dagrun_timeout=timedelta(hours=1),
    params={
        "stations": policy.optional_text(
            "Stations", "Station ids separated by commas. Empty: all stations.", ["boston", "boston,miami"]
        ),
        "since": policy.optional_text(
            "Since",
            "Windows that end after this time (UTC). Empty: no lower bound.",
            ["2026-01-05T06:00:00Z"],
            "date-time",
        ),
        "until": policy.optional_text(
            "Until",
            "Windows that end at this time (UTC) or earlier. Empty: no upper bound.",
            ["2026-01-05T18:00:00Z"],
            "date-time",
        ),
    },
    tags=[policy.TAG, "spark", "kafka"],
    **policy.DAG_DEFAULTS,
):
    SparkBatchOperator(
        task_id="backfill",
        task_display_name="Compute and publish windows",
        application="backfill_features",
        arguments=[optional_argument("stations"), optional_argument("since"), optional_argument("until")],
        outlets=[assets.FEATURES],
    )
