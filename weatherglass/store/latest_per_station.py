"""The newest row of each station, without reading the others."""

from __future__ import annotations

from sqlalchemy import Select, Table, and_, func, literal_column, select


def newest_per_station(table: Table) -> Select:
    """All columns of the newest row (by `timestamp`) of each station, ordered by station.

    The stations are found by hopping through the index on (station_id, timestamp), one step a station, where
    `GROUP BY` would read the whole index: a year of history costs no more than a day.
    """
    stations = select(func.min(table.c.station_id).label("station_id")).cte("stations", recursive=True)
    following = select(func.min(table.c.station_id)).where(table.c.station_id > stations.c.station_id).scalar_subquery()
    stations = stations.union_all(select(following).where(stations.c.station_id.is_not(None)))
    inner = table.alias("inner")
    newest = select(func.max(inner.c.timestamp)).where(inner.c.station_id == stations.c.station_id).scalar_subquery()
    return (
        select(table)
        .join(stations, and_(table.c.station_id == stations.c.station_id, table.c.timestamp == newest))
        .order_by(literal_column("stations.station_id"))
    )
