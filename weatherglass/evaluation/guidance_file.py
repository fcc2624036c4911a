"""Reader of pairs of guidance and observations: one row for each station and valid time, one column for each model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from weatherglass.guidance.daily_series import DailySeries
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.series_file import STATION_NAMES
from weatherglass.stations import Station

OBSERVED, LEAD = "observed", "lead_hours"
TIME_FORMATS = {
    "valid_time": "ISO8601",
    "valid_date": "%Y-%m-%d",
    "valid_time_yyyymmddhh": "%Y%m%d%H",
}
"""Names of the column of the valid time, UTC, with their formats."""
ELEVATIONS = (-430.0, 9000.0)
"""Lowest and highest possible elevation, m; others stand for an unknown one."""


def read_guidance(path: Path, models: Sequence[str], lead: int | None, spread: str | None) -> DailySeries:
    """Read the pairs of one lead.

    Args:
        models: columns of the guidance, in the unit of the column `observed`.
        lead: hours; chooses the rows with this `lead_hours`, or states the lead if there is no such column.
        spread: column with the standard deviation of an ensemble.

    Raises:
        SourceError: the file, a column, a time or a number cannot be read; the lead is not certain; two rows have the
            same station and time; or the valid times are at different hours of the day.
    """
    table = _read_table(path)
    lead_hours, table = _of_lead(path, table, lead)
    wanted = [OBSERVED, *models, *([spread] if spread else [])]
    if missing := [name for name in wanted if name not in table]:
        raise SourceError(f"{path}: no column {', '.join(missing)}; the columns are {', '.join(table)}")
    values = table[wanted].apply(lambda column: _numbers(path, column)).to_numpy(float)
    times = _times(path, table)
    station_column = next((name for name in STATION_NAMES if name in table), None)
    names = table[station_column].astype(str).to_numpy() if station_column else np.full(len(table), path.stem)
    ids, columns = np.unique(names, return_inverse=True)
    rows = ((times - times.min()) // np.timedelta64(1, "D")).astype(int)
    if len(np.unique(rows * len(ids) + columns)) < len(rows):
        raise SourceError(f"{path}: two rows have the same station and valid time")
    grid = np.full((rows.max() + 1, len(ids), len(wanted)), np.nan)
    grid[rows, columns] = values
    return DailySeries(
        times.min().astype("datetime64[D]"),
        _stations(path, table, ids, columns),
        grid[:, :, 1 : 1 + len(models)],
        grid[:, :, 0],
        math.ceil(lead_hours / 24),
        grid[:, :, -1] if spread else None,
    )


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError, UnicodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    if table.empty:
        raise SourceError(f"{path} has no rows")
    return table


def _of_lead(path: Path, table: pd.DataFrame, lead: int | None) -> tuple[float, pd.DataFrame]:
    """The lead in hours, and its rows."""
    if LEAD not in table:
        if lead is None:
            raise SourceError(f"{path} has no column {LEAD}; state the lead with --lead")
        return lead, table
    leads = _numbers(path, table[LEAD])
    found = sorted(set(leads.dropna()))
    if lead is None and len(found) != 1:
        raise SourceError(f"{path} has the leads {', '.join(f'{hours:g}' for hours in found)}; choose one with --lead")
    chosen = found[0] if lead is None else float(lead)
    if chosen not in found:
        raise SourceError(f"{path} has no lead {chosen:g} h; it has {', '.join(f'{hours:g}' for hours in found)}")
    return chosen, table[leads == chosen]


def _times(path: Path, table: pd.DataFrame) -> np.ndarray:
    name = next((name for name in TIME_FORMATS if name in table), None)
    if name is None:
        raise SourceError(f"{path}: no column of the valid time, {' or '.join(TIME_FORMATS)}")
    try:
        times = pd.to_datetime(table[name], format=TIME_FORMATS[name], utc=True)
    except ValueError as error:
        raise SourceError(f"{path}: column {name!r}: {error}") from error
    if times.isna().any():
        raise SourceError(f"{path}: column {name!r} has no time in row {int(times.isna().to_numpy().argmax()) + 1}")
    if times.dt.hour.nunique() > 1 or times.dt.minute.any():
        raise SourceError(f"{path}: the valid times are at different hours of the day; evaluate each hour by itself")
    return times.dt.tz_localize(None).to_numpy("datetime64[s]")


def _numbers(path: Path, column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    bad = (numbers.isna() & column.notna()) | np.isinf(numbers)
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise SourceError(f"{path}: column {column.name!r}, row {row + 1}: {column.iloc[row]!r} is not a number")
    return numbers


def _stations(path: Path, table: pd.DataFrame, ids: np.ndarray, columns: np.ndarray) -> tuple[Station, ...]:
    """The stations with their places; those of the last row count."""
    places = {
        name: _numbers(path, table[name]).to_numpy(float) if name in table else np.full(len(table), np.nan)
        for name in ("latitude", "longitude", "elevation")
    }
    stations = []
    for at, station_id in enumerate(ids):
        row = np.flatnonzero(columns == at)[-1]
        latitude, longitude, elevation = (float(places[name][row]) for name in places)
        known = ELEVATIONS[0] <= elevation <= ELEVATIONS[1]
        height = elevation if known else None
        stations.append(Station(str(station_id), str(station_id), "", latitude, longitude, height, "UTC", frozenset()))
    return tuple(stations)
