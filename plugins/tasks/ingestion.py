"""Task of the DAG `ingest_observations`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")


def poll_and_publish() -> None:
    """Fetch the current observations from the source and publish new and revised ones."""
    from producer.ingest import ingest

    ingest(load_settings(), datetime.now(UTC), log.info)
