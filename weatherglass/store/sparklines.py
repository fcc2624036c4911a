"""Recent values of one variable at several stations, for overview charts."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from sqlalchemy import Connection, select

from weatherglass.store.schema import observations as table


def series(
    connection: Connection, variable: str, start: datetime, end: datetime, stations: list[str]
) -> dict[str, list[tuple[datetime, float | None]]]:
    """Times and values of one variable in [start, end), oldest first, by station.

    `variable` is a column of the table: `temperature`, `humidity`, `pressure`, `wind_speed` or `wind_direction`.
    """
    result: defaultdict[str, list[tuple[datetime, float | None]]] = defaultdict(list)
    query = (
        select(table.c.station_id, table.c.timestamp, table.c[variable])
        .where(table.c.station_id.in_(stations), table.c.timestamp >= start, table.c.timestamp < end)
        .order_by(table.c.station_id, table.c.timestamp)
    )
    for station_id, time, value in connection.execute(query):
        result[station_id].append((time, value))
    return result
