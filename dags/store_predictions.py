"""
### What it does
Writes observations and predictions from Kafka to the store, from which the API and the dashboard read. Repeated records
change nothing. This is a long-lived job: there is always one run, and never more than one process.

### What its log shows
Every few seconds the number of records stored, the number skipped as invalid, and the consumer lag. The complete output
of the job is in `jobs/store_predictions/job.log` in the state folder.

### When it fails or is retried (triage)
The log shows the last output of a job that ended. Its next start continues from the last commit; no data is lost. A
*failed* run was stopped by a user. Until the job runs again, the API shows older data.
- *Stop*: mark the run as failed; the job finishes its batch first. *Start again*: clear the task, or trigger the DAG.
- *The store does not respond*: the disk may be full, or the database of `WEATHERGLASS_DATABASE_URL` down.
- *No job host accepted the request*: check that the job host runs and read its log (docs/troubleshooting.md, *Logs*).
- *Skipped records*: `job.log` lists topic, partition and offset of each.
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.settings import load_settings

folder = load_settings().jobs_dir / "store_predictions"

with DAG(
    dag_id="store_predictions",
    dag_display_name="Store predictions",
    description="Long-lived: writes observations and predictions to the store",
    doc_md=__doc__,
    tags=[policy.TAG, "store", "long-lived"],
    **policy.LONG_LIVED_DEFAULTS,
):
    LongLivedJobOperator(
        task_id="store_predictions",
        task_display_name="Write to the store",
        folder=folder,
        argv=[sys.executable, "-m", "weatherglass.sink", str(folder)],
        inlets=[assets.RAW, assets.PREDICTIONS],
        outlets=[assets.STORE],
    )
