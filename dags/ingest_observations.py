"""
### What it does
Asks the source (Open-Meteo, or the replay server that speaks its API) for the stations' current observations and
publishes to `weather-raw` what is new or revised. The first run publishes the past days before anything live; after a
gap the missed steps are asked for and filled in. Against the replay it runs every minute, else every
`WEATHERGLASS_POLL_MINUTES`.

### What its log shows
How many observations of how many stations were published, from when to when, and a `WARNING` for each station that
could not be observed, with the reason.

### When it is red (triage)
Predictions go on, from ever older observations; a run that succeeds later fills the gap by itself.
- *The source does not answer*: look whether it is a passing fault (the next run may be green). With the replay,
  see whether its server runs, and read its log (docs/troubleshooting.md, *Logs*).
- *It answers 400*: the reason is the source's own, most often a wrong station; a retry will not help.
- *Not everything was published*: the broker did not take it; see whether it runs. What it took is remembered.
- *Beyond the free budget*: set `WEATHERGLASS_POLL_MINUTES` higher, or watch fewer stations.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

from plugins import assets, policy
from weatherglass.settings import Source, load_settings

settings = load_settings()
minutes = 1 if settings.source is Source.REPLAY else settings.poll_minutes

with DAG(
    dag_id="ingest_observations",
    description="Publishes new observations of all stations to weather-raw",
    doc_md=__doc__,
    schedule=f"*/{minutes} * * * *",
    dagrun_timeout=timedelta(minutes=20),
    tags=[policy.TAG, "kafka", "ingestion"],
    **policy.COMMON,
):

    @task(outlets=[assets.RAW], execution_timeout=timedelta(minutes=15))
    def observe_and_publish() -> None:
        from producer.ingest import ingest

        ingest(load_settings(), datetime.now(UTC), logging.getLogger("airflow.task").info)

    observe_and_publish()
