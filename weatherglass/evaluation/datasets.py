"""Hourly observations as a grid, from Kaggle's zip, the bundled data, a prepared history or a table in long format."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from weatherglass.forecast.variables import drop_implausible
from weatherglass.history.grid import HourGrid
from weatherglass.history.moved_stations import at_present_places
from weatherglass.history.prepared import HISTORY_COLUMNS, grid_from_table, read_manifest, read_stations
from weatherglass.history.sources import SourceError, kaggle, nycflights13
from weatherglass.history.sources.hours_file import read_hours
from weatherglass.history.sources.series_file import Statements
from weatherglass.station_table import COLUMNS, current_versions, station_of
from weatherglass.stations import Station, bundled_stations, station_id_of

log = logging.getLogger(__name__)

BUNDLED = nycflights13.NAME
STATION_COLUMNS = ("station_id", "latitude", "longitude")


def read(
    paths: Sequence[Path], now: datetime, stated: Statements | None = None, stations: Sequence[Station] | None = None
) -> tuple[pd.DataFrame, tuple[Station, ...]]:
    """Return observations with the columns of `HISTORY_COLUMNS` except `source`, and their stations.

    What is not used is logged as a warning. If several paths have the same hour of a station, the last one counts.

    Args:
        paths: each is Kaggle's zip, the folder of a prepared history, a table (Parquet file, Parquet folder or text
            file), or `nycflights13` for the bundled data. A table has one row for each station and time.
        now: UTC.
        stated: units and time zone of tables that do not state them.
        stations: the stations to use, instead of those that the source or `stations.csv` has.

    Raises:
        SourceError: names the file, and the column or station that is wrong.
    """
    tables: list[pd.DataFrame] = []
    found: dict[str, Station] = {}
    for path in paths:
        table, of_path = _read_one(path, now, stated, stations)
        tables.append(table[list(HISTORY_COLUMNS[:7])])
        found |= {station.station_id: station for station in of_path}
    table = pd.concat(tables, ignore_index=True).drop_duplicates(["station_id", "hour"], keep="last")
    known = stations if stations is not None else tuple(found.values())
    rows = table["station_id"].value_counts()
    if unknown := sorted(set(rows.index) - {station.station_id for station in known}):
        log.warning(
            "Not used: %d of %d stations, %s hours: no coordinates for %s in the table of stations",
            *(len(unknown), len(rows), f"{rows[unknown].sum():,}", ", ".join(unknown)),
        )
        table = table[~table["station_id"].isin(unknown)]
    table, earlier = at_present_places(table, known)
    for line in earlier:
        log.warning("Not used: %s", line)
    if table.empty:
        raise SourceError(f"{', '.join(map(str, paths))}: no hour of a station in the table of stations")
    return table, tuple(known)


def _read_one(
    path: Path, now: datetime, stated: Statements | None, stations: Sequence[Station] | None
) -> tuple[pd.DataFrame, tuple[Station, ...]]:
    if str(path) == BUNDLED:
        return nycflights13.read_nycflights13(), nycflights13.stations()
    if path.suffix == ".zip":
        table, cities, problems = kaggle.read_kaggle(path)
        for problem in problems:
            log.warning("Not used: %s", problem)
        return table, cities
    if not path.exists():
        raise SourceError(f"{path} not found; expected a zip, a Parquet or text file, or {BUNDLED}")
    if path.is_dir() and read_manifest(path):
        return pd.read_parquet(path / "observations"), read_stations(path)
    table = _hours(path, now, stated)
    if stations is not None:
        return table, ()
    known, ids = bundled_stations(), set(table["station_id"])
    if unknown := sorted(ids - set(known)):
        raise SourceError(f"{path}: no coordinates for {', '.join(unknown)}; pass a table with --stations")
    return table, tuple(known[name] for name in known if name in ids)


def _hours(path: Path, now: datetime, stated: Statements | None) -> pd.DataFrame:
    """The hours of a table by the rule of the hour; logs how the columns were read and what is not used."""
    hours = read_hours(path, now, stated)
    log.info("%s: %s", path, "; ".join(f"{name} from {column}" for name, column in hours.columns.items()))
    for unused in hours.unused:
        log.warning("Not used: %s: %s", path, unused)
    return hours.table


def read_station_table(path: Path) -> tuple[Station, ...]:
    """Read stations from a CSV or Parquet file with `station_id, latitude, longitude`, optionally `name, elevation`.

    Of a station with several rows, which differ in `since`, the one that applies at present is returned.

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
    versions: list[Station] = []
    for number, row in enumerate(table.to_dict("records"), 1):
        texts = {name: text for name in fields if (text := _text(row[name]))}
        name = texts.get("station_id", "")
        try:
            station = station_of({"name": name, **texts, "station_id": station_id_of(name)})
        except ValueError as error:
            raise SourceError(f"{path}: row {number}: {error}") from None
        if any((station.station_id, station.since) == (one.station_id, one.since) for one in versions):
            raise SourceError(f"{path}: row {number}: {station.station_id!r} is the id of an earlier row")
        versions.append(station)
    return tuple(current_versions(versions, datetime.now(UTC)).values())


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
