"""What came true: the hours of stored observations, by the rule of the hour of `weatherglass.history`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import Connection, select

from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.history.hours import HOUR_WINDOW_ENDS, WINDOW
from weatherglass.meteorology import wind_components
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.records import VARIABLES
from weatherglass.stations import Station
from weatherglass.store import detection_scores, verdicts
from weatherglass.store.detection_scores import InjectedFault
from weatherglass.store.schema import observations
from weatherglass.store.verdicts import Judgement

BEFORE = WINDOW - min(HOUR_WINDOW_ENDS)
"""An hour rests on the observations from this long before it, 19 minutes, …"""
LENGTH = WINDOW * len(HOUR_WINDOW_ENDS)
"""… for so long: 20 minutes."""


def hourly(
    connection: Connection,
    first: np.datetime64,
    last: np.datetime64,
    stations: Sequence[Station],
    wrong: Collection[tuple[str, datetime]] = (),
    faults: Sequence[InjectedFault] = (),
) -> HourGrid:
    """The hours from `first` to `last` (both included, UTC) of these stations, missing where nothing was observed.

    Left out are values that no instrument can honestly give, the readings in `wrong` (station, time), which a person
    has confirmed to be wrong, and the values that `faults` have disturbed on purpose.
    """
    start, end = (hour.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC) for hour in (first, last))
    columns = ("station_id", "timestamp", "temperature", "humidity", "pressure", "wind_speed", "wind_direction")
    query = select(*(observations.c[name] for name in columns)).where(
        observations.c.timestamp >= start - BEFORE, observations.c.timestamp < end - BEFORE + LENGTH
    )
    rows = [row for row in connection.execute(query) if (row.station_id, row.timestamp) not in wrong]
    table = pd.DataFrame(rows, columns=list(columns))
    for fault in faults if rows else ():
        disturbed = (table["station_id"] == fault.station_id) & table["timestamp"].between(fault.start, fault.end)
        table.loc[disturbed, list(fault.variables)] = np.nan
    return hours_of(table, first, last, stations)


def trusted(connection: Connection, first: np.datetime64, last: np.datetime64, stations: Sequence[Station]) -> HourGrid:
    """The same without what a person has confirmed to be wrong, and without what was disturbed on purpose."""
    start, end = (hour.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC) for hour in (first, last))
    given = verdicts.on(connection, [station.station_id for station in stations], start - BEFORE)
    wrong = {key for key, verdict in given.items() if verdict.verdict is Judgement.CONFIRMED}
    faults = detection_scores.faults_between(connection, start - BEFORE, end + LENGTH)
    return hourly(connection, first, last, stations, wrong, faults)


def hours_of(table: pd.DataFrame, first: np.datetime64, last: np.datetime64, stations: Sequence[Station]) -> HourGrid:
    """The same from a table of observations with their `timestamp` (UTC) and a reading's columns."""
    values = np.full((len(stations), int((last - first).astype(int)) + 1, len(GRID_VARIABLES)), np.nan, np.float32)
    grid = HourGrid(tuple(stations), first.astype("datetime64[h]"), values)
    if table.empty:
        return grid
    shifted = pd.to_datetime(table["timestamp"], utc=True).dt.tz_localize(None) + BEFORE
    hour = shifted.dt.floor("h")
    told = {}
    for name in VARIABLES:
        column, limits = table[name].astype(float), LIMITS[name]
        told[name] = column.where((column >= limits.low) & (column <= limits.high))
    speed = told["wind_speed"]
    u, v = wind_components(speed, table["wind_direction"].astype(float))
    readings = pd.DataFrame(
        {
            "row": table["station_id"].map({station.station_id: i for i, station in enumerate(stations)}),
            "hour": hour,
            **told,
            "wind_u": u,
            "wind_v": v,
        }
    )
    means = readings[(shifted - hour < LENGTH)].dropna(subset=["row"]).groupby(["row", "hour"]).mean()
    rows = means.index.get_level_values("row").to_numpy(int)
    columns = (means.index.get_level_values("hour").to_numpy("datetime64[h]") - first).astype(int)
    inside = (columns >= 0) & (columns < values.shape[1])
    values[rows[inside], columns[inside]] = means[list(GRID_VARIABLES)].to_numpy(np.float32)[inside]
    return grid


def day_hours(day: np.datetime64) -> tuple[np.datetime64, np.datetime64]:
    """First and last hour of a UTC day."""
    first = day.astype("datetime64[h]")
    return first, first + np.timedelta64(23, "h")


def day_of(time: datetime) -> np.datetime64:
    """The UTC day of the hour that an observation belongs to."""
    return np.datetime64((time + BEFORE).astimezone(UTC).replace(tzinfo=None), "D")


MARGIN = timedelta(minutes=5)
"""What is being stored while we look is looked at again the next time."""
