"""Kaggle's "Historical Hourly Weather Data 2012-2017" (ODbL 1.0): a zip with one wide CSV per variable.

`city_attributes.csv` describes the cities; `temperature.csv` and the four others have the columns `datetime` and one
per city, hourly, UTC, in K, %, hPa, m/s and degrees; an empty cell is missing. Known faults: the first two days are a
straight line (excluded here); half the temperatures of 2014-15 are interpolated in space; values can be constant for
weeks; the pressure changes between sea level and station level. These are not corrected here.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pandas as pd

from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.history.sources import SourceError
from weatherglass.stations import Station, kaggle_network, station_id_of

NAME = "kaggle"
FILES = {
    "temperature": "temperature.csv",
    "humidity": "humidity.csv",
    "pressure": "pressure.csv",
    "wind_speed": "wind_speed.csv",
    "wind_direction": "wind_direction.csv",
}
CITIES = "city_attributes.csv"
CITY_COLUMNS = ("City", "Country", "Latitude", "Longitude")
KELVIN = 273.15
MEDIAN_RANGE = {
    "temperature": (230.0, 325.0, "K"),
    "humidity": (5.0, 100.0, "%"),
    "pressure": (700.0, 1100.0, "hPa"),
    "wind_speed": (0.2, 15.0, "m/s"),
    "wind_direction": (7.0, 360.0, "degrees"),
}
"""Range of the median of a file in its unit. In other common units (°C, °F, a fraction, inHg, Pa, radians) the median
is outside; the file itself does not state its unit."""
FIRST_MEASURED = pd.Timestamp("2012-10-03", tz="UTC")
"""Earlier values are a straight line from the first value."""


def read_cities(zip_path: Path) -> tuple[Station, ...]:
    """Return the stations of a zip, in its order.

    Raises:
        SourceError: the zip is missing or damaged, or its table of cities has another format.
    """
    with _member(zip_path, CITIES) as file:
        rows = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
        missing = [name for name in CITY_COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise SourceError(f"{zip_path}: {CITIES} has no column {', '.join(missing)}; it has {rows.fieldnames}")
        try:
            return kaggle_network(list(rows))
        except (TypeError, ValueError) as error:
            raise SourceError(f"{zip_path}: {CITIES} cannot be read: {error}") from error


def read_variable(zip_path: Path, variable: str) -> pd.DataFrame:
    """Return one variable of all cities: one row per hour (UTC index, ascending), one column per station id.

    In the units of the records.

    Raises:
        SourceError: the zip is missing or damaged, or the file has another format or unit.
    """
    name = FILES[variable]
    with _member(zip_path, name) as file:
        header = file.readline().decode("utf-8", "replace").strip()
        if not header.startswith("datetime,"):
            raise SourceError(f"{zip_path}: {name} starts with {header[:60]!r} instead of `datetime,<cities>`")
        columns = [station_id_of(city) for city in next(csv.reader([header]))[1:]]
        try:
            table = pd.read_csv(file, header=None, names=["datetime", *columns], index_col="datetime", low_memory=False)
            table.index = pd.to_datetime(table.index, format="%Y-%m-%d %H:%M:%S", utc=True)
            table = table.astype(float)
        except (ValueError, pd.errors.ParserError) as error:
            raise SourceError(f"{zip_path}: {name} cannot be read: {error}") from error
    _check_unit(zip_path, variable, float(table.stack().median()))
    table = table[~table.index.duplicated(keep="last")].sort_index()
    table = table[table.index >= FIRST_MEASURED]
    return table - KELVIN if variable == "temperature" else table


def read_kaggle(zip_path: Path) -> tuple[pd.DataFrame, tuple[Station, ...]]:
    """Return all observations with the columns of `HISTORY_COLUMNS`, and the stations.

    One row per station and hour with at least one value.

    Raises:
        SourceError: the zip is missing or damaged, or one of its files has another format or unit.
    """
    stations = read_cities(zip_path)
    wide = {variable: read_variable(zip_path, variable) for variable in FILES}
    known = {station.station_id for station in stations}
    for variable, table in wide.items():
        if unknown := [name for name in table.columns if name not in known]:
            raise SourceError(
                f"{zip_path}: {FILES[variable]} has a column for {unknown[0]!r}, which is not in {CITIES}"
            )
    hours = wide["temperature"].index
    tables = []
    for station in stations:
        city = {
            name: table[station.station_id].reindex(hours)
            for name, table in wide.items()
            if station.station_id in table
        }
        table = pd.DataFrame(city, index=hours, columns=list(FILES)).dropna(how="all")
        tables.append(table.rename_axis("hour").reset_index().assign(station_id=station.station_id, source=NAME))
    rows = pd.concat(tables, ignore_index=True)
    return rows[list(HISTORY_COLUMNS)], stations


def _check_unit(zip_path: Path, variable: str, median: float) -> None:
    """Raise SourceError if the values cannot be in the expected unit."""
    low, high, unit = MEDIAN_RANGE[variable]
    if median < low or median > high:
        raise SourceError(
            f"{zip_path}: the median of {FILES[variable]} is {median:g}, outside {low:g} to {high:g} {unit}; "
            "the file is in another unit"
        )


@contextmanager
def _member(zip_path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file of the zip, in whichever folder of the zip it is."""
    try:
        with zipfile.ZipFile(zip_path) as archive:
            members = [member for member in archive.namelist() if member.rpartition("/")[2] == name]
            if not members:
                raise SourceError(f"{zip_path} has no {name}; it is not Kaggle's 'Historical Hourly Weather Data'")
            with archive.open(members[0]) as file:
                yield file
    except FileNotFoundError as error:
        raise SourceError(f"{zip_path} does not exist: set WEATHERGLASS_KAGGLE_ZIP to the downloaded zip") from error
    except (OSError, zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        raise SourceError(f"{zip_path} is damaged ({name}): {error}; download it again") from error
