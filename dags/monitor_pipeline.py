"""
### What it does
Watches the whole pipeline: every 15 seconds it measures each part and looks at all alert rules; silent stations and
slow decay are found, not only crashes. An alert is told once, here, in the API (`/alerts`), on the dashboard, and sent
to the connections `alerts_webhook` and `alerts_email` where these exist; it ends by itself. The job never ends: there
is always one run, and never two processes of it.

### What its log shows
The running story of the pipeline's health: `ALERT` where one begins, `over` where it ends, and every minute one line
about everything. All of the job's output is in `jobs/monitor_pipeline/job.log` in the state folder.

### When it is red, or tried again (triage)
Everything else runs on; only nobody is told of faults. A failed try shows the job's last words; the next try knows the
open alerts and does not send them again. A run that is *failed* as a whole was stopped by somebody.
- *To stop it*: mark the run failed. *To start it again*, or to have it use changed connections: clear the task.
- *`alerts_email` names nobody*: put `"to"` into the connection's extra.
- *No job host took the request*: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*).
- *Could not be sent on*: the log says what the webhook or the mail server answered; it is tried again.
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.alert_channels import MonitorOperator
from weatherglass.settings import load_settings

folder = load_settings().jobs_dir / "monitor_pipeline"

with DAG(
    dag_id="monitor_pipeline",
    description="Long-lived: measures every part, tells what is wrong",
    doc_md=__doc__,
    tags=[policy.TAG, "monitoring", "long-lived"],
    **policy.LONG_LIVED,
):
    MonitorOperator(
        task_id="monitor_pipeline",
        folder=folder,
        argv=[sys.executable, "-m", "weatherglass.monitor", str(folder)],
        inlets=[assets.STORE],
    )
