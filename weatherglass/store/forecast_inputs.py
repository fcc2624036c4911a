"""Stored predictions with the observations that they are based on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, exists, not_

from weatherglass.records import VARIABLES
from weatherglass.store.dialect import hour_start
from weatherglass.store.latest_per_station import latest_per_station
from weatherglass.store.schema import observations
from weatherglass.store.schema import predictions as table

_COLUMNS = ("station_id", "timestamp", "predictions", "confidence", "is_anomaly", "source")


def latest_inputs(connection: Connection) -> Sequence[Row[Any]]:
    """The row of the newest prediction of each station, with the variables of its observation.

    A variable is None if the observation is missing or has no value.
    """
    return connection.execute(_with_observation(latest_per_station(table))).all()


def first_of_each_hour(connection: Connection, station_id: str, start: datetime, end: datetime) -> Iterator[Row[Any]]:
    """Rows as in `latest_inputs` of the first prediction of each hour in [start, end), oldest first, one at a time."""
    earlier = table.alias("earlier")
    same_hour_before = exists().where(
        earlier.c.station_id == table.c.station_id,
        earlier.c.timestamp < table.c.timestamp,
        earlier.c.timestamp >= hour_start(connection, table.c.timestamp),
    )
    query = table.select().where(
        table.c.station_id == station_id,
        table.c.timestamp >= start,
        table.c.timestamp < end,
        not_(same_hour_before),
    )
    rows = connection.execute(_with_observation(query).order_by(table.c.timestamp))
    yield from rows.yield_per(200)


def _with_observation(query: Select) -> Select:
    same = and_(observations.c.station_id == table.c.station_id, observations.c.timestamp == table.c.timestamp)
    columns = (*(table.c[name] for name in _COLUMNS), *(observations.c[name] for name in VARIABLES))
    return query.outerjoin(observations, same).with_only_columns(*columns)
