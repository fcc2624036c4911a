"""Select the newest row of each station without reading the others."""

from __future__ import annotations

from sqlalchemy import Select, Table, and_, func, literal_column, select


def latest_per_station(table: Table) -> Select:
    """Query for all columns of the newest row (by `timestamp`) of each station, ordered by station.

    A recursive query emulates a loose index scan (skip scan) on (station_id, timestamp): one step per station, whereas
    `GROUP BY` reads the whole index. The cost does not depend on the length of the history.
    """
    stations = select(func.min(table.c.station_id).label("station_id")).cte("stations", recursive=True)
    next_station = (
        select(func.min(table.c.station_id)).where(table.c.station_id > stations.c.station_id).scalar_subquery()
    )
    stations = stations.union_all(select(next_station).where(stations.c.station_id.is_not(None)))
    inner = table.alias("inner")
    newest = select(func.max(inner.c.timestamp)).where(inner.c.station_id == stations.c.station_id).scalar_subquery()
    return (
        select(table)
        .join(stations, and_(table.c.station_id == stations.c.station_id, table.c.timestamp == newest))
        .order_by(literal_column("stations.station_id"))
    )
