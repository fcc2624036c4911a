"""Kaggle's "Historical Hourly Weather Data 2012-2017" (ODbL 1.0): a zip with one wide CSV a variable.

`city_attributes.csv` describes the cities; `temperature.csv` and the four others hold `datetime,<a column a city>`,
hourly, UTC, in K, %, hPa, m/s and degrees; an empty cell is missing. What is known of its faults: the first two days
are a straight line that somebody filled in (left out here); half the temperatures of 2014-15 are interpolated in
space; values can stand still for weeks; pressure changes between that of the sea and that of the station. None of
that is mended here.
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
USUAL = {
    "temperature": (230.0, 325.0, "K"),
    "humidity": (5.0, 100.0, "%"),
    "pressure": (700.0, 1100.0, "hPa"),
    "wind_speed": (0.2, 15.0, "m/s"),
    "wind_direction": (7.0, 360.0, "degrees"),
}
"""Where the middle of a file's values lies in its unit, and in no other that such values come in (°C, °F, a share of
one, inHg, Pa, radians); the file itself does not name its unit."""
FIRST_MEASURED = pd.Timestamp("2012-10-03", tz="UTC")
"""Everything before is a straight line from the first value, not weather."""


def read_cities(zip_path: Path) -> tuple[Station, ...]:
    """The stations of a zip, in its own order.

    Raises:
        SourceError: the zip is missing or damaged, or its table of cities is not the known one.
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
    """One variable of all cities: a row an hour (UTC index, ascending), a column a station id, contract units.

    Raises:
        SourceError: the zip is missing or damaged, or the file is not the known one.
    """
    name = FILES[variable]
    with _member(zip_path, name) as file:
        header = file.readline().decode("utf-8", "replace").strip()
        if not header.startswith("datetime,"):
            raise SourceError(f"{zip_path}: {name} begins with {header[:60]!r}, not with `datetime,<cities>`")
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
    """All observations with the columns of `HISTORY_COLUMNS`, and the stations.

    One row a station and hour that has at least one value.

    Raises:
        SourceError: the zip is missing or damaged, or one of its files is not the known one.
    """
    stations = read_cities(zip_path)
    wide = {variable: read_variable(zip_path, variable) for variable in FILES}
    known = {station.station_id for station in stations}
    for variable, table in wide.items():
        if strangers := [name for name in table.columns if name not in known]:
            raise SourceError(
                f"{zip_path}: {FILES[variable]} has a column for {strangers[0]!r}, which {CITIES} does not hold"
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


def _check_unit(zip_path: Path, variable: str, middle: float) -> None:
    """Raises: SourceError: the values cannot be in the unit that they should be in."""
    low, high, unit = USUAL[variable]
    if middle < low or middle > high:
        raise SourceError(
            f"{zip_path}: the middle value of {FILES[variable]} is {middle:g}, but in {unit} it lies between {low:g} "
            f"and {high:g}; the file is in another unit"
        )


@contextmanager
def _member(zip_path: Path, name: str) -> Iterator[IO[bytes]]:
    """A file of the zip, wherever in it the file lies."""
    try:
        with zipfile.ZipFile(zip_path) as archive:
            found = [member for member in archive.namelist() if member.rpartition("/")[2] == name]
            if not found:
                raise SourceError(f"{zip_path} holds no {name}; it is not Kaggle's «Historical Hourly Weather Data»")
            with archive.open(found[0]) as file:
                yield file
    except FileNotFoundError as error:
        raise SourceError(f"{zip_path} does not exist: set WEATHERGLASS_KAGGLE_ZIP to the downloaded zip") from error
    except (OSError, zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        raise SourceError(f"{zip_path} is damaged ({name}): {error}; download it again") from error
