"""Task of the DAG `ingest_files`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugins.run_notes import summarize
from producer.incoming import DONE, FAILED
from weatherglass.formatting import count_noun
from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")


def import_files(paths: list[str], ti: Any = None) -> dict[str, int]:
    """Publish the readings of the files; returns the number of published observations by file.

    Raises:
        OSError: files could not be moved; all others are processed.
    """
    from producer.own_files import import_file
    from producer.own_stations import OwnStationPublisher

    settings = load_settings()
    publisher = OwnStationPublisher(settings)
    published: dict[str, int] = {}
    failed: list[str] = []
    try:
        for path in map(Path, paths):
            try:
                report = import_file(path, settings, publisher, datetime.now(UTC), log.info)
            except OSError as error:
                log.error("%s: %s", path, error)
                failed.append(path.name)
                continue
            if report:
                published[str(path.relative_to(settings.incoming_folder))] = report.published
    finally:
        publisher.close()
    observations, files = count_noun(sum(published.values()), "observation"), count_noun(len(published), "file")
    summarize(ti, f"{observations} from {files}")
    if failed:
        raise OSError(f"not moved to {DONE} or {FAILED}, so processed again: {', '.join(failed)}")
    return published
