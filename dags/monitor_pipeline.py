"""
### What it does
Monitors the pipeline: every 15 seconds it collects metrics of every component and evaluates all alert rules. Each alert
is recorded once: in this task log, in the API (`/alerts`) and on the dashboard. It is also sent to the connections
`alerts_webhook` and `alerts_email`, if they exist, and resolved automatically. This is a long-lived job: there is
always one run, and never more than one process.

### What its log shows
`ALERT` when an alert starts, `RESOLVED` when it ends, and a summary of the pipeline every minute. The complete output
of the job is in `jobs/monitor_pipeline/job.log` in the state folder.

### When it fails or is retried (triage)
All other jobs continue, but faults go unnoticed. The log shows the last output of a job that ended. Its next start
loads the open alerts and does not send them again. A *failed* run was stopped by a user.
- *Stop*: mark the run as failed. *Start again*, or apply changed connections: clear the task.
- *`alerts_email` has no recipients*: add `"to"` to the extra of the connection.
- *No job host accepted the request*: check that the job host runs and read its log (docs/troubleshooting.md, *Logs*).
- *Sending failed*: the log contains the response of the webhook or the mail server. Sending is retried.
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.monitor_operator import MonitorOperator
from weatherglass.settings import load_settings

folder = load_settings().jobs_dir / "monitor_pipeline"

with DAG(
    dag_id="monitor_pipeline",
    dag_display_name="Monitor the pipeline",
    description="Long-lived: collects metrics and raises alerts",
    doc_md=__doc__,
    tags=[policy.TAG, "monitoring", "long-lived"],
    **policy.LONG_LIVED_DEFAULTS,
):
    MonitorOperator(
        task_id="monitor_pipeline",
        task_display_name="Collect metrics, raise alerts",
        folder=folder,
        argv=[sys.executable, "-m", "weatherglass.monitor", str(folder)],
        inlets=[assets.STORE],
    )
