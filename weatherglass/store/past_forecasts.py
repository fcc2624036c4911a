"""Past predictions of a station, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from weatherglass.store.schema import predictions as table


@dataclass(frozen=True)
class PastForecast:
    """A stored prediction whose documents are not parsed, because a page contains thousands of numbers.

    `predictions` and `confidence` are the documents of `records.Prediction`, with times in ISO 8601.
    """

    timestamp: datetime
    predictions: dict[str, Any]
    confidence: dict[str, Any]


def past_forecasts(
    connection: Connection,
    station_id: str,
    start: datetime,
    end: datetime,
    limit: int,
    after: datetime | None = None,
) -> list[PastForecast]:
    """Predictions of a station for the observations in [start, end), oldest first.

    Args:
        limit: maximum number of predictions.
        after: return only predictions for later observations; pass the last time of a page to get the next page.
    """
    query = select(table.c.timestamp, table.c.predictions, table.c.confidence).where(
        table.c.station_id == station_id, table.c.timestamp >= start, table.c.timestamp < end
    )
    if after is not None:
        query = query.where(table.c.timestamp > after)
    return [PastForecast(*row) for row in connection.execute(query.order_by(table.c.timestamp).limit(limit))]
