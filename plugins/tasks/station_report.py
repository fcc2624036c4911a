"""Task of the DAG `report_stations`."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")

WORST = 5
"""Number of stations in the log."""


def report(params: dict[str, Any] | None = None) -> list[str]:
    """Write the report on the parameter `day`, or yesterday, and return the paths of its files."""
    from weatherglass.monitor.station_report import make_report, summary

    now = datetime.now(UTC)
    chosen = (params or {}).get("day")
    day = date.fromisoformat(chosen) if chosen else now.date() - timedelta(days=1)
    days, page, table = make_report(load_settings(), day, now)
    log.info("%s: %s", day, summary(days))
    for station in days[:WORST]:
        gap = timedelta(seconds=station.longest_gap)
        log.info("%s: %d of %d received, longest gap %s", station.station_id, station.received, station.expected, gap)
    log.info("Wrote %s and %s", page, table)
    return [str(page), str(table)]
