"""
### What it does
Publishes the observations of simulated stations to `weather-raw`. `make up` starts it only if `WEATHERGLASS_SOURCE` is
`simulate`, and stops it after a change of the source. The settings `WEATHERGLASS_SIMULATE_…` say how many stations
there are, how often they report, and whether some values are wrong. This is a long-lived job: there is always one run,
and never more than one process.

### What its log shows
Every ten seconds the number of observations published, their rate, and the time of the newest. The complete output of
the job is in `jobs/simulate_observations/job.log` in the state folder.

### When it fails or is retried (triage)
The log shows the last output of a job that ended. Its next start continues with the next observation; a batch that the
broker may have received already is published again, and the stream recognizes the duplicates.
- *Stop*: mark the run as failed. *Start again*: clear the task, or trigger the DAG.
- *Observations were not acknowledged*: the broker does not respond; the job tries again.
- *The newest observation is far in the past*: the broker or the processor accepts fewer messages than
  `WEATHERGLASS_SIMULATE_RATE`.
- *No job host accepted the request*: check that the job host runs and read its log (docs/troubleshooting.md, *Logs*).
"""

from __future__ import annotations

import sys

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.settings import load_settings

folder = load_settings().jobs_dir / "simulate_observations"

with DAG(
    dag_id="simulate_observations",
    dag_display_name="Simulate observations",
    description="Long-lived: publishes observations of simulated stations to weather-raw",
    doc_md=__doc__,
    tags=[policy.TAG, "kafka", "ingestion", "long-lived"],
    **policy.LONG_LIVED_DEFAULTS,
):
    LongLivedJobOperator(
        task_id="simulate_observations",
        task_display_name="Publish simulated observations",
        folder=folder,
        argv=[sys.executable, "-m", "producer.simulation", str(folder)],
        outlets=[assets.RAW],
    )
