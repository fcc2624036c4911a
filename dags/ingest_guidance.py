"""
### What it does
Fetches guidance, the hourly predictions of the weather models in `WEATHERGLASS_GUIDANCE_MODELS` for the next 48 hours
at each station's location and elevation, from Open-Meteo's forecast API, and publishes each new run once to
`weather-guidance`. Offline, the replay server returns simulated guidance, which is marked as simulated everywhere. Runs
hourly; a station is fetched less often if the polls of observations leave too few of the free calls. With
`WEATHERGLASS_SOURCE=metar` or `simulate` it is skipped.

### What its log shows
The number of new and of unchanged runs, the interval at which stations are fetched, and a `WARNING` with the reason for
each station and model without guidance, and for refused values.

### When it fails (triage)
Forecasts continue without guidance, or with the last runs while these are recent.
- *Open-Meteo does not respond*: wait for the next run, the fault may be temporary.
- *Open-Meteo responds with 400*: a model id in `WEATHERGLASS_GUIDANCE_MODELS` is unknown; the others are fetched.
- *The budget does not suffice*: the message names the settings that help.
- *Runs were not acknowledged*: the broker did not accept them; check that it runs. The next run publishes them.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from plugins import assets, policy
from plugins.tasks import guidance

with DAG(
    dag_id="ingest_guidance",
    description="Publishes new runs of weather models to weather-guidance",
    doc_md=__doc__,
    schedule="12 * * * *",
    dagrun_timeout=timedelta(minutes=40),
    tags=[policy.TAG, "kafka", "ingestion", "guidance"],
    **policy.DAG_DEFAULTS,
):
    fetch = task(outlets=[assets.GUIDANCE], execution_timeout=timedelta(minutes=10))(guidance.fetch)

    fetch()
