"""Task of the DAG `ingest_observations`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow.sdk.exceptions import AirflowSkipException

from weatherglass.settings import Source, load_settings

log = logging.getLogger("airflow.task")


def poll_and_publish() -> None:
    """Fetch the current observations from the source and publish new and revised ones.

    Raises:
        AirflowSkipException: the stations are simulated, and publish their observations themselves.
    """
    from producer.ingest import ingest

    settings = load_settings()
    if settings.source is Source.SIMULATE:
        raise AirflowSkipException("Nothing to poll: the DAG simulate_observations publishes the observations")
    ingest(settings, datetime.now(UTC), log.info)
