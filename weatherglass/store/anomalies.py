"""Flagged readings: the predictions whose verdict says that the reading cannot be trusted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, true

from weatherglass.records import Quality
from weatherglass.store.predictions import StoredPrediction, stored
from weatherglass.store.schema import predictions as table


def flagged(
    connection: Connection,
    limit: int,
    before_id: int | None = None,
    since: datetime | None = None,
    station_id: str | None = None,
    check: str | None = None,
) -> list[StoredPrediction]:
    """Flagged readings, last stored first.

    Args:
        limit: at most so many.
        before_id: only those with a smaller number: the last number of a page asks for the next one.
        since: only readings at or after this time (the reading's own).
        check: only those that failed this check, named as in the record (`range`, `step`, ...).
    """
    query = select(table).where(table.c.is_anomaly == true()).order_by(table.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(table.c.id < before_id)
    if since is not None:
        query = query.where(table.c.timestamp >= since)
    if station_id is not None:
        query = query.where(table.c.station_id == station_id)
    if check is not None:
        query = query.where(table.c.anomaly["checks"][check].as_string() == Quality.FAILED.value)
    return [stored(row) for row in connection.execute(query)]
