"""Task of the DAG `ingest_files`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")


def import_files(paths: list[str]) -> dict[str, int]:
    """Publish the readings of the files; returns the number of published observations by file."""
    from producer.own_files import import_file
    from producer.own_stations import OwnStationPublisher

    settings = load_settings()
    publisher = OwnStationPublisher(settings.bootstrap_servers)
    published: dict[str, int] = {}
    try:
        for path in map(Path, paths):
            if report := import_file(path, settings, publisher, datetime.now(UTC), log.info):
                published[str(path.relative_to(settings.incoming_folder))] = report.published
    finally:
        publisher.close()
    return published
