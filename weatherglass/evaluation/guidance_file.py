"""Reader of pairs of guidance and observations: one row for each station and valid time, one column for each model."""

from __future__ import annotations

import math
import zlib
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
ZONE = r"(?:Z|[+-]\d\d:?\d\d)$"
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
    if "" in ids:
        raise SourceError(f"{path}, line {_line(table[station_column], int((names == '').argmax()))}: no station")
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
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, EOFError, ValueError, UnicodeError, zlib.error) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    if table.empty:
        raise SourceError(f"{path} has no rows")
    return table


def _of_lead(path: Path, table: pd.DataFrame, lead: int | None) -> tuple[float, pd.DataFrame]:
    """The lead in hours, and its rows."""
    if lead is not None and lead <= 0:
        raise SourceError(f"{path}: --lead {lead}: a forecast is issued before its valid time")
    if LEAD not in table:
        if lead is None:
            raise SourceError(f"{path} has no column {LEAD}; state the lead with --lead")
        return lead, table
    leads = _numbers(path, table[LEAD])
    found = sorted(set(leads[leads > 0]))
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
    texts = table[name]
    times = pd.to_datetime(texts, format=TIME_FORMATS[name], utc=True, errors="coerce")
    uncertain = times.isna()
    if TIME_FORMATS[name] == "ISO8601":
        uncertain |= ~texts.str.contains(ZONE)
    if uncertain.any():
        at = int(uncertain.to_numpy().argmax())
        raise SourceError(f"{path}, line {_line(texts, at)}: {name} {texts.iloc[at]!r} is not a time with a zone")
    if times.dt.strftime("%H:%M:%S").nunique() > 1:
        raise SourceError(f"{path}: the valid times are at different hours of the day; evaluate each hour by itself")
    return times.dt.tz_localize(None).to_numpy("datetime64[s]")


def _line(column: pd.Series, at: int) -> int:
    """The line of the file with the value at a position of a column."""
    return int(column.index[at]) + 2


def _numbers(path: Path, column: pd.Series) -> pd.Series:
    """The numbers of a column; NaN for an empty field."""
    numbers = pd.to_numeric(column.where(column.str.strip() != ""), errors="coerce")
    bad = (numbers.isna() & (column.str.strip() != "")) | np.isinf(numbers)
    if bad.any():
        at = int(bad.to_numpy().argmax())
        raise SourceError(f"{path}, line {_line(column, at)}: {column.name} {column.iloc[at]!r} is not a number")
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
