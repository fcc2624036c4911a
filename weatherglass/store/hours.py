"""Hours of stored observations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, or_, select

from weatherglass.history.grid import GRID_VARIABLES
from weatherglass.history.hours import AFTER_HOUR, BEFORE_HOUR, hours_from_readings, hours_of_times, usable_values
from weatherglass.meteorology import wind_direction
from weatherglass.qc.limits import RANGE_LIMITS, range_limits
from weatherglass.record_headers import Origin
from weatherglass.records import VARIABLES
from weatherglass.stations import Station
from weatherglass.store.schema import observations as table

NOT_TRAINED = (Origin.REPLAY, Origin.SIMULATED)
"""Sources of observations that are not the present weather. Every other one trains, also an unknown one."""
UNKNOWN_SOURCE = "unknown"
_TRAINED = or_(table.c.source.is_(None), table.c.source.not_in([origin.value for origin in NOT_TRAINED]))


@dataclass(frozen=True)
class StoredSpan:
    """The observations before `end`, the end (UTC) of the last complete day, that training uses."""

    first: datetime
    end: datetime
    count: int


def stored_span(connection: Connection) -> StoredSpan | None:
    """Return the span of the stored observations that training uses; None if there is no complete day."""
    first, last = connection.execute(
        select(func.min(table.c.timestamp), func.max(table.c.timestamp)).where(_TRAINED)
    ).one()
    if first is None:
        return None
    end = _utc(last).replace(hour=0, minute=0, second=0, microsecond=0)
    count = connection.execute(select(func.count()).where(_TRAINED, table.c.timestamp < end)).scalar_one()
    return StoredSpan(_utc(first), end, count) if count else None


def stored_hours(
    connection: Connection, stations: Mapping[str, Station], first: datetime, last: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the hours `first` to `last`, both included, as rows with the columns of `prepared.HISTORY_COLUMNS`.

    All observations count, except replayed and simulated ones. The source of an hour is that of its first observation.
    Values outside the range limits of the station are ignored, as in the stream. The wind direction is that of the mean
    vector, the wind speed the mean of the speeds. Hours without any value are omitted. Rows are ordered by station and
    hour.
    """
    query = (
        select(table)
        .where(
            _TRAINED,
            table.c.timestamp >= first - BEFORE_HOUR,
            table.c.timestamp < last + AFTER_HOUR,
        )
        .order_by(table.c.station_id, table.c.timestamp)
    )
    rows = connection.execution_options(yield_per=5_000).execute(query)
    # A station and day at a time bounds the memory. Shifted like this, a day contains all observations of its hours.
    for (station_id, _), group in groupby(rows, lambda row: (row.station_id, _utc(row.timestamp + BEFORE_HOUR).date())):
        readings = [row._mapping for row in group]
        station = stations.get(station_id)
        limits = range_limits(station.latitude, station.elevation) if station else RANGE_LIMITS
        times = np.array([_utc(row["timestamp"]).replace(tzinfo=None) for row in readings], dtype="datetime64[us]")
        values = usable_values({name: [row[name] for row in readings] for name in RANGE_LIMITS}, limits)
        _, hours, means = hours_from_readings(np.zeros(len(readings), np.int64), times, values)
        sources: dict[np.datetime64, str] = {}
        for reading, hour in zip(readings, hours_of_times(times), strict=True):
            sources.setdefault(hour, reading["source"] or UNKNOWN_SOURCE)
        for hour, mean in zip(hours, means, strict=True):
            if np.isfinite(mean).any():
                start = hour.astype("datetime64[us]").item().replace(tzinfo=UTC)
                yield {"station_id": station_id, "hour": start, **_columns(mean), "source": sources[hour]}


def _columns(mean: np.ndarray) -> dict[str, float | None]:
    values = dict(zip(GRID_VARIABLES, mean, strict=True))
    values["wind_direction"] = wind_direction(values["wind_u"], values["wind_v"])
    return {name: float(values[name]) if np.isfinite(values[name]) else None for name in (*VARIABLES, "wind_direction")}


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)
