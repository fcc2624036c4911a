"""Hourly values of stored observations, by the rule of the hour in `weatherglass.history`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from weatherglass.history.hours import AFTER_HOUR, BEFORE_HOUR, hour_for_time
from weatherglass.meteorology import wind_components, wind_direction
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.records import Origin
from weatherglass.store.schema import observations as table


def stored_span(connection: Connection, source: Origin) -> tuple[datetime, datetime] | None:
    """Times, UTC, of the oldest and the newest observation of a source; None without any."""
    query = select(func.min(table.c.timestamp), func.max(table.c.timestamp)).where(table.c.source == source.value)
    first, last = connection.execute(query).one()
    return None if first is None else (first, last)


def stored_hours(connection: Connection, source: Origin, first: datetime, last: datetime) -> Iterator[dict[str, Any]]:
    """The hours `first` to `last`, both included, as rows with the columns of `history.HISTORY_COLUMNS`.

    Values outside their physical range do not count, as in the stream. Wind is averaged as a vector for its direction
    and as a number for its speed. Hours without any value are left out.
    """
    query = (
        select(table)
        .where(
            table.c.source == source.value,
            table.c.timestamp >= first - BEFORE_HOUR,
            table.c.timestamp < last + AFTER_HOUR,
        )
        .order_by(table.c.station_id, table.c.timestamp)
    )
    rows = connection.execution_options(yield_per=5_000).execute(query)
    for (station_id, hour), some in groupby(rows, lambda row: (row.station_id, hour_for_time(row.timestamp))):
        if hour is not None and (values := _mean([row._mapping for row in some])):
            yield {"station_id": station_id, "hour": hour, **values, "source": source.value}


def _mean(readings: list[Any]) -> dict[str, float | None] | None:
    """Means of an hour's readings; None where no value of them can be used."""
    usable = {
        name: np.array([np.nan if row[name] is None else row[name] for row in readings], dtype=float) for name in LIMITS
    }
    for name, limits in LIMITS.items():
        usable[name][(usable[name] < limits.low) | (usable[name] > limits.high)] = np.nan
    u, v = wind_components(usable["wind_speed"], usable["wind_direction"])
    blown = np.isfinite(u)
    made = {name: _known_mean(usable[name]) for name in LIMITS if name != "wind_direction"}
    if all(value is None for value in made.values()):
        return None
    direction = float(wind_direction(u[blown].mean(), v[blown].mean())) if blown.any() else np.nan
    return {**made, "wind_direction": None if np.isnan(direction) else direction}


def _known_mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


JOINS_WITHIN = timedelta(days=31)
"""Stored hours extend a history that ends at most so long before them; a longer hole would be most of the record."""
