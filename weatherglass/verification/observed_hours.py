"""The hours of stored observations: what forecasts are verified against."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import Connection, select

from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.history.hours import AFTER_HOUR, BEFORE_HOUR, hours_from_readings, usable_values
from weatherglass.qc.limits import RANGE_LIMITS, range_limits
from weatherglass.record_headers import Origin
from weatherglass.stations import Station
from weatherglass.store import detection_scores, verdicts
from weatherglass.store.detection_scores import InjectedFault
from weatherglass.store.schema import observations
from weatherglass.store.verdicts import Judgement

OVERLAP = timedelta(minutes=5)
"""Consecutive runs overlap by this, so that observations stored during a run are read by the next one."""


def load_hours(
    connection: Connection,
    first: np.datetime64,
    last: np.datetime64,
    stations: Sequence[Station],
    excluded: Collection[tuple[str, datetime]] = (),
    faults: Sequence[InjectedFault] = (),
    excluded_sources: Collection[Origin] = (),
) -> HourGrid:
    """Load the hours from `first` to `last` (both included, UTC) of these stations; NaN where nothing was observed.

    Ignored are values outside the range limits of the station, the observations in `excluded` (station id, time),
    those from `excluded_sources`, and the values that were changed by injected `faults`. An observation of an unknown
    source is kept.
    """
    start, end = (hour.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC) for hour in (first, last))
    columns = ("station_id", "timestamp", *RANGE_LIMITS)
    query = select(*(observations.c[name] for name in columns)).where(
        observations.c.station_id.in_([station.station_id for station in stations]),
        observations.c.timestamp >= start - BEFORE_HOUR,
        observations.c.timestamp < end + AFTER_HOUR,
        observations.c.source.is_(None) | observations.c.source.not_in([source.value for source in excluded_sources]),
    )
    rows = [row for row in connection.execute(query) if (row.station_id, row.timestamp) not in excluded]
    table = pd.DataFrame(rows, columns=list(columns))
    for fault in faults if rows else ():
        disturbed = (table["station_id"] == fault.station_id) & table["timestamp"].between(fault.start, fault.end)
        table.loc[disturbed, list(fault.variables)] = np.nan
    return grid_from_observations(table, first, last, stations)


def load_trusted_hours(
    connection: Connection,
    first: np.datetime64,
    last: np.datetime64,
    stations: Sequence[Station],
    excluded_sources: Collection[Origin] = (),
) -> HourGrid:
    """Load hours without the observations that a user has confirmed to be wrong, and without injected faults.

    Args:
        excluded_sources: see `load_hours`.
    """
    start, end = (hour.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC) for hour in (first, last))
    given = verdicts.load(connection, [station.station_id for station in stations], start - BEFORE_HOUR)
    confirmed = {key for key, verdict in given.items() if verdict.verdict is Judgement.CONFIRMED}
    faults = detection_scores.faults_between(connection, start - BEFORE_HOUR, end + AFTER_HOUR)
    return load_hours(connection, first, last, stations, confirmed, faults, excluded_sources)


def grid_from_observations(
    table: pd.DataFrame, first: np.datetime64, last: np.datetime64, stations: Sequence[Station]
) -> HourGrid:
    """Compute a grid from distinct observations: columns `station_id`, `timestamp` (UTC) and the five variables.

    Observations of other stations or hours are ignored.
    """
    values = np.full((len(stations), int((last - first).astype(int)) + 1, len(GRID_VARIABLES)), np.nan, np.float32)
    grid = HourGrid(tuple(stations), first.astype("datetime64[h]"), values)
    if table.empty:
        return grid
    index = {station.station_id: row for row, station in enumerate(stations)}
    known = table[table["station_id"].isin(index)]
    times = pd.to_datetime(known["timestamp"], utc=True).dt.tz_localize(None).to_numpy("datetime64[us]")
    readings = {name: known[name].to_numpy(float, na_value=np.nan) for name in RANGE_LIMITS}
    usable = np.full((len(known), len(GRID_VARIABLES)), np.nan)
    for station_id, own in known.groupby("station_id").indices.items():
        station = stations[index[str(station_id)]]
        limits = range_limits(station.latitude, station.elevation)
        usable[own] = usable_values({name: column[own] for name, column in readings.items()}, limits)
    rows, hours, means = hours_from_readings(known["station_id"].map(index).to_numpy(np.int64), times, usable)
    columns = grid.positions(hours)
    inside = (columns >= 0) & (columns < values.shape[1])
    values[rows[inside], columns[inside]] = means[inside]
    return grid


def day_bounds(day: np.datetime64) -> tuple[np.datetime64, np.datetime64]:
    """Return the first and the last hour of a UTC day."""
    first = day.astype("datetime64[h]")
    return first, first + np.timedelta64(23, "h")


def day_of(time: datetime) -> np.datetime64:
    """Return the UTC day of the hour that an observation at `time` belongs to."""
    return np.datetime64((time + BEFORE_HOUR).astimezone(UTC).replace(tzinfo=None), "D")
