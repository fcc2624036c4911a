"""
### What it does
Writes observations and predictions from Kafka into the store, from which the API and the dashboard read. A repeated
record changes nothing. It never ends: there is always one run, and never two processes of it.

### What its log shows
Every few seconds how much was stored, how much was skipped as unusable, and the lag. All of the job's output is in
`jobs/store_predictions/job.log` in the state folder.

### When it is red, or tried again (triage)
A failed try shows the job's last words; the next try reads on from the last commit, nothing is lost. A run that is
*failed* as a whole was stopped by somebody. Until it runs again the API shows what it has, ever older.
- *To stop it*: mark the run failed; it finishes its batch first. *To start it again*: clear the task, or trigger.
- *The store did not answer*: the disk may be full, or the database of `WEATHERGLASS_DATABASE_URL` down.
- *No job host took the request*: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*).
- *Skipped records*: `job.log` names each with its topic, partition and offset.
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
    description="Long-lived: observations and predictions into the store",
    doc_md=__doc__,
    tags=[policy.TAG, "store", "long-lived"],
    **policy.LONG_LIVED,
):
    LongLivedJobOperator(
        task_id="store_predictions",
        folder=folder,
        argv=[sys.executable, "-m", "weatherglass.sink", str(folder)],
        inlets=[assets.RAW, assets.PREDICTIONS],
        outlets=[assets.STORE],
    )
