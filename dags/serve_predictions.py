"""
### What it does
Keeps the inference service up: Ray actors that turn `weather-features` into forecasts and anomaly flags on
`weather-predictions`, and into finished hours on `weather-hours`. The supervised process is their watcher; the actors
outlive it. It never ends: there is always one run, and never two processes of it.

### What its log shows
Every few seconds what was answered, by which model version, and the lag; at once when an actor was restarted, or a
model was refused, fell back or changed. All of the watcher's output is in `jobs/serve_predictions/job.log` in the state
folder, the actors' own in Ray's dashboard.

### When it is red, or tried again (triage)
A failed try shows the watcher's last words; the next try finds the actors that still live. A run that is *failed* as
a whole was stopped by somebody. Features wait in Kafka meanwhile, and are answered later.
- *To stop it*: mark the run failed; the actors finish their batch first. *To start it again*: clear, or trigger.
- *A model version is refused*: what served before serves on. The line says why; docs/models.md says what to do.
- *No Ray head*: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*).
- *Actors do not get well*: their logs in Ray's dashboard say why; a lack of memory is the usual reason.
- *No job host took the request*: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*).
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
    description="Long-lived: forecasts and anomaly flags from features, with Ray",
    doc_md=__doc__,
    tags=[policy.TAG, "ray", "long-lived"],
    **policy.LONG_LIVED,
):
    LongLivedJobOperator(
        task_id="serve_predictions",
        folder=folder,
        argv=[sys.executable, "-m", "ray_jobs.serve_predictions", str(folder)],
        inlets=[assets.FEATURES, assets.MODELS],
        outlets=[assets.HOURS, assets.PREDICTIONS],
    )
