"""
### What it does
Polls the sources (METAR and Open-Meteo, or the replay server with the same APIs) for the current observations of all
stations and publishes new and revised ones to `weather-raw`. The first run begins with the observations of the past
days; with METAR it takes some minutes, because the API allows one request a minute, and publishes each response before
the next request. After an interruption, the next run also publishes the missed observations. Runs every
`WEATHERGLASS_POLL_MINUTES` minutes, or every minute with the replay.

### What its log shows
The number of observations and stations, the time of the newest observation, which stations are observed by which
source, and a `WARNING` with the reason for each station without an observation or with another source than before, and
for values that were refused because their unit, type or time is not certain.

### When it fails (triage)
Forecasts continue from older observations. The next successful run fills the gap.
- *The source does not respond*: wait for the next run, the fault may be temporary. With the replay, check that its
  server runs and read its log (docs/troubleshooting.md, *Logs*).
- *The source responds with 400*: the reason in the message comes from the source; a retry does not help. A single
  station that the source rejects does not fail the run: it is named in a `WARNING`, and the others are observed.
- *Invalid station table*: correct the named lines of `stations.csv`.
- *Not all observations were published*: the broker did not accept them; check that it runs. Published observations are
  not published twice.
- *Daily budget exceeded*: increase `WEATHERGLASS_POLL_MINUTES`, or use fewer stations.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from plugins import assets, policy
from plugins.tasks import ingestion
from weatherglass.settings import load_settings

settings = load_settings()

with DAG(
    dag_id="ingest_observations",
    dag_display_name="Ingest observations",
    description="Publishes new observations of all stations to weather-raw",
    doc_md=__doc__,
    schedule=f"*/{settings.poll_interval_minutes} * * * *",
    dagrun_timeout=timedelta(minutes=20),
    tags=[policy.TAG, "kafka", "ingestion"],
    **policy.DAG_DEFAULTS,
):
    poll_and_publish = task(
        task_display_name="Poll and publish", outlets=[assets.RAW], execution_timeout=timedelta(minutes=15)
    )(ingestion.poll_and_publish)

    poll_and_publish()
