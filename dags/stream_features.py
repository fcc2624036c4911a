"""
### What it does
Runs the Spark job that reads `weather-raw`, publishes window features to `weather-features`, and publishes rejected
records with the reason to `weather-rejected`. This is a long-lived job: there is always one run, and never more than
one process.

### What its log shows
Every few seconds the batch number, rows per second and consumer lag. The process survives a restart of
Airflow. The complete output of the job is in `jobs/stream_features/job.log` in the state folder.

### When it fails or is retried (triage)
The log shows the last output of a job that ended. Its next start continues from the checkpoint: no data is lost or
duplicated. A *failed* run was stopped by a user.
- *Stop*: mark the run as failed; the job finishes its batch first. *Start again*: clear the task, or trigger the DAG.
- *No job host accepted the request*: check that the job host runs and read its log (docs/troubleshooting.md, *Logs*).
- *No heartbeat*: the job hung and was killed. If this repeats, check that the broker responds.
- *OutOfMemoryError*: increase `WEATHERGLASS_SPARK_MEMORY_MB`.
- Repeated tries with the same output: a restart does not help; the output names the cause.
"""

from __future__ import annotations

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.spark_stream import SparkStreamOperator

with DAG(
    dag_id="stream_features",
    dag_display_name="Stream features",
    description="Long-lived: window features from observations, with Spark",
    doc_md=__doc__,
    tags=[policy.TAG, "spark", "long-lived"],
    **policy.LONG_LIVED_DEFAULTS,
):
    SparkStreamOperator(
        task_id="stream_features",
        task_display_name="Compute and publish windows",
        application="stream_features",
        inlets=[assets.RAW],
        outlets=[assets.FEATURES, assets.REJECTED],
    )
