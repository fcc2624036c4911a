"""Task of the DAG `ingest_observations`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from plugins.run_notes import summarize
from weatherglass.formatting import count_noun
from weatherglass.settings import Source, load_settings

log = logging.getLogger("airflow.task")


def poll_and_publish(ti: Any = None) -> None:
    """Fetch the current observations from the source and publish new and revised ones.

    Raises:
        AirflowSkipException: the stations are simulated, and publish their observations themselves.
    """
    from producer.ingest import ingest

    settings = load_settings()
    if settings.source is Source.SIMULATE:
        raise AirflowSkipException("Nothing to poll: the DAG simulate_observations publishes the observations")
    report = ingest(settings, datetime.now(UTC), log.info)
    failed = f", {count_noun(len(report.failures), 'station')} failed" if report.failures else ""
    observations, stations = count_noun(report.published, "observation"), count_noun(len(report.stations), "station")
    summarize(ti, f"{observations} from {stations}{failed}")
