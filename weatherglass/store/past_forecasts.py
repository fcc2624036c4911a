"""Past predictions of a station, in pages."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from weatherglass.store.predictions import StoredPrediction, stored
from weatherglass.store.schema import predictions as table


def issued(
    connection: Connection,
    station_id: str,
    start: datetime,
    end: datetime,
    limit: int,
    after: datetime | None = None,
) -> list[StoredPrediction]:
    """A station's predictions for the observations in [start, end), oldest first.

    Args:
        limit: at most so many.
        after: only those for later observations: the last of a page asks for the next one.
    """
    query = select(table).where(table.c.station_id == station_id, table.c.timestamp >= start, table.c.timestamp < end)
    if after is not None:
        query = query.where(table.c.timestamp > after)
    return [stored(row) for row in connection.execute(query.order_by(table.c.timestamp).limit(limit))]
