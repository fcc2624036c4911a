"""
### What it does
Runs the inference service: Ray actors that read `weather-features` and publish forecasts and anomaly flags to
`weather-predictions` and completed hours to `weather-hours`. The supervised process starts and monitors the actors,
which survive its restart. This is a long-lived job: there is always one run, and never more than one process.

### What its log shows
Every few seconds the number of predictions, the model version and the consumer lag. Immediately: when an actor was
restarted, and when a model was rejected, replaced or reverted. The complete output of the supervised process is in
`jobs/serve_predictions/job.log` in the state folder, the actors' output in Ray's dashboard.

### When it fails or is retried (triage)
The log shows the last output of a process that ended. Its next start reattaches to running actors. A *failed* run
was stopped by a user. Meanwhile features wait in Kafka and are processed later.
- *Stop*: mark the run as failed; the actors finish their batch first. *Start again*: clear the task, or trigger the
  DAG.
- *A model version is rejected*: the previous one stays in service. The log line has the reason; see docs/models.md.
- *No Ray head*: check that it runs and read its log (docs/troubleshooting.md, *Logs*).
- *Actors do not recover*: see their logs in Ray's dashboard; the usual cause is too little memory.
- *No job host accepted the request*: check that the job host runs and read its log (docs/troubleshooting.md, *Logs*).
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.settings import load_settings

folder = load_settings().jobs_dir / "serve_predictions"

with DAG(
    dag_id="serve_predictions",
    dag_display_name="Serve predictions",
    description="Long-lived: forecasts and anomaly flags from features, with Ray",
    doc_md=__doc__,
    tags=[policy.TAG, "ray", "long-lived"],
    **policy.LONG_LIVED_DEFAULTS,
):
    LongLivedJobOperator(
        task_id="serve_predictions",
        task_display_name="Run inference",
        folder=folder,
        argv=[sys.executable, "-m", "ray_jobs.serve_predictions", str(folder)],
        inlets=[assets.FEATURES, assets.MODELS],
        outlets=[assets.HOURS, assets.PREDICTIONS],
    )
