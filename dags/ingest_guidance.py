"""
### What it does
Fetches guidance, the hourly predictions of the weather models in `WEATHERGLASS_GUIDANCE_MODELS` for the next 48 hours
at each station's location and elevation, from Open-Meteo's forecast API, and publishes each new run to
`weather-guidance`, again after a crash. Forecasts use it once a model of guidance is trained. Offline, the replay
server returns simulated guidance, which is marked as simulated everywhere. Runs hourly; a station is fetched every one
to six hours, as the polls of observations leave free calls. With `WEATHERGLASS_SOURCE=metar` or `simulate`, or if the
polls leave too few calls, it is skipped.

### What its log shows
The number of new and of unchanged runs, the interval at which stations are fetched, and a `WARNING` with the reason for
each station and model without guidance, and for refused values.

### When it fails (triage)
Forecasts continue: after 18 hours without a new run they are those of the stations alone.
- *Open-Meteo does not respond*: wait for the next run, the fault may be temporary.
- *Open-Meteo responds with 400*: a model id in `WEATHERGLASS_GUIDANCE_MODELS` is unknown; the others are fetched. It is
  requested again after the interval.
- *Skipped because too few calls are left*: the `WARNING` names the settings that help.
- *Runs were not acknowledged*: the broker did not accept them; check that it runs. The next run publishes them.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from plugins import assets, policy
from plugins.tasks import guidance

with DAG(
    dag_id="ingest_guidance",
    dag_display_name="Ingest guidance",
    description="Publishes new runs of weather models to weather-guidance",
    doc_md=__doc__,
    schedule="12 * * * *",
    dagrun_timeout=timedelta(minutes=40),
    tags=[policy.TAG, "kafka", "ingestion", "guidance"],
    **policy.DAG_DEFAULTS,
):
    fetch = task(
        task_display_name="Fetch and publish runs", outlets=[assets.GUIDANCE], execution_timeout=timedelta(minutes=10)
    )(guidance.fetch)

    fetch()
