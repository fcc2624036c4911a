"""Past predictions of a station, in pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from weatherglass.store.schema import predictions as table


@dataclass(frozen=True)
class Issue:
    """A prediction as it lies in the store: its documents are plain, for a page has thousands of numbers.

    `predictions` and `confidence` are those of the record `Prediction`, times as ISO 8601.
    """

    timestamp: datetime
    predictions: dict[str, Any]
    confidence: dict[str, Any]


def issued(
    connection: Connection,
    station_id: str,
    start: datetime,
    end: datetime,
    limit: int,
    after: datetime | None = None,
) -> list[Issue]:
    """A station's predictions for the observations in [start, end), oldest first.

    Args:
        limit: at most so many.
        after: only those for later observations: the last of a page asks for the next one.
    """
    query = select(table.c.timestamp, table.c.predictions, table.c.confidence).where(
        table.c.station_id == station_id, table.c.timestamp >= start, table.c.timestamp < end
    )
    if after is not None:
        query = query.where(table.c.timestamp > after)
    return [Issue(*row) for row in connection.execute(query.order_by(table.c.timestamp).limit(limit))]
