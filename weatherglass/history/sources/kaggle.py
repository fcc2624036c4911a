"""Kaggle's "Historical Hourly Weather Data 2012-2017" (ODbL 1.0): a zip with one wide CSV per variable.

`city_attributes.csv` describes the cities; `temperature.csv` and the four others have the columns `datetime` and one
per city, hourly, UTC, in K, %, hPa, m/s and degrees; an empty cell is missing. Known faults: the first two days are a
straight line (excluded here); half the temperatures of 2014-15 are interpolated in space; values can be constant for
weeks; the pressure changes between sea level and station level. These are not corrected here.

Rows, cells, columns and files that cannot be used are skipped and returned as problems; the others are used.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.refusal import LINES_NAMED
from weatherglass.history.sources.zip_member import ZipError, ZipErrorCode, read_member
from weatherglass.stations import Station, kaggle_station, station_id_of

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
CHECKED_BY_CITY = ("temperature", "humidity", "pressure")
"""Variables whose range also holds for each city; the median of the wind of one city can be 0."""
BEGIN, FIRST_MEASURED, END = (pd.Timestamp(day, tz="UTC") for day in ("2012-10-01", "2012-10-03", "2018-01-01"))
"""The data set covers the time from BEGIN up to END; values before FIRST_MEASURED are a straight line."""
MAX_SKIPPED = 0.5
"""Share of skipped rows above which a file is not used."""


class KaggleProblemCode(StrEnum):
    FILE = "file"
    """A file of a variable that is not used."""
    CITY = "city"
    """A city that is not used."""
    REPEATED_CITY = "repeated_city"
    UNKNOWN_COLUMN = "unknown_column"
    """A column of a city that is not in the table of cities."""
    REPEATED_COLUMN = "repeated_column"
    """Columns of the same city; none of them is used."""
    UNIT = "unit"
    """A column in another unit."""
    FIELDS = "fields"
    """A row with another number of fields than the header."""
    TIME = "time"
    """A row without a readable time."""
    TIME_RANGE = "time_range"
    """A row outside the years of the data set."""
    NOT_HOURLY = "not_hourly"
    """A row whose time is not a full hour."""
    REPEATED_TIME = "repeated_time"
    """A row that a later row with the same time replaces."""
    NUMBER = "number"
    """A cell that is not a number."""


@dataclass(frozen=True)
class KaggleProblem:
    """What of one file is not used, for one reason.

    Attributes:
        count: of rows, cells or columns.
        first: line numbers or names of the first ones.
    """

    file: str
    code: KaggleProblemCode
    count: int
    first: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        if self.code is KaggleProblemCode.FILE:
            return self.message  # names the file
        more = ", …" if self.count > len(self.first) else ""
        where = f" ({', '.join(self.first)}{more})" if self.first else ""
        return f"{self.file}: {self.message}: {self.count:,} skipped{where}"


class VariableTable(NamedTuple):
    """One variable: one row per hour (UTC index, ascending), one column per station id, units of the records."""

    table: pd.DataFrame
    problems: tuple[KaggleProblem, ...]


class KaggleHistory(NamedTuple):
    """All observations with the columns of `HISTORY_COLUMNS`, one row per station and hour with at least one value."""

    table: pd.DataFrame
    stations: tuple[Station, ...]
    problems: tuple[KaggleProblem, ...]


def read_cities(zip_path: Path) -> tuple[Station, ...]:
    """Return the stations of a zip, in its order.

    Raises:
        SourceError: the zip is missing or damaged, or its table of cities has another format.
    """
    return _read_cities(zip_path)[0]


def read_variable(zip_path: Path, variable: str) -> VariableTable:
    """Return one variable of all cities.

    Raises:
        SourceError: the zip is missing or damaged, or the file has another format or unit.
    """
    name = FILES[variable]
    lines = [
        (number, line)
        for number, line in enumerate(read_member(zip_path, name).decode("utf-8-sig", "replace").splitlines(), 1)
        if line.strip()
    ]
    header = lines[0][1] if lines else ""
    if not header.startswith("datetime,"):
        raise SourceError(f"{zip_path}: {name} starts with {header[:60]!r} instead of `datetime,<cities>`")
    columns = [station_id_of(city) for city in header.split(",")[1:]]
    commas = header.count(",")
    whole = [line.count(",") == commas and '"' not in line and "\0" not in line for _, line in lines[1:]]
    numbers = np.array([number for (number, _), good in zip(lines[1:], whole, strict=True) if good], dtype=np.int64)
    good = [line for (_, line), good in zip(lines[1:], whole, strict=True) if good]
    problems = _problem(
        name,
        KaggleProblemCode.FIELDS,
        _lines(number for (number, _), good in zip(lines[1:], whole, strict=True) if not good),
        "row with another number of fields than the header",
    )
    times, cells = _parse(good, len(columns))
    usable, found = _usable_rows(name, numbers, times)
    problems += found
    if usable.sum() < (1 - MAX_SKIPPED) * (len(lines) - 1) or not usable.any():
        raise SourceError(
            f"{zip_path}: too few rows can be used; {'; '.join(map(str, problems)) or f'{name} is empty'}"
        )
    values, found = _numbers(name, cells, numbers, columns)
    table = pd.DataFrame(values, index=times, columns=columns)[usable]
    problems += found
    _check_unit(zip_path, variable, table)
    table, found = _usable_columns(variable, table)
    problems += found
    table = table[~table.index.duplicated(keep="last")].sort_index()
    table = table[table.index >= FIRST_MEASURED]
    return VariableTable(table - KELVIN if variable == "temperature" else table, tuple(problems))


def read_kaggle(zip_path: Path) -> KaggleHistory:
    """Return the observations of all cities.

    Raises:
        SourceError: the zip is missing or damaged, its table of cities has another format, or none of the other files
            can be used.
    """
    stations, problems = _read_cities(zip_path)
    wide: dict[str, pd.DataFrame] = {}
    for variable, name in FILES.items():
        try:
            wide[variable], found = read_variable(zip_path, variable)
            problems += found
        except SourceError as error:
            if isinstance(error, ZipError) and error.code in (ZipErrorCode.NO_FILE, ZipErrorCode.NO_ZIP):
                raise
            problems.append(KaggleProblem(name, KaggleProblemCode.FILE, 1, (), str(error)))
    if not wide:
        raise SourceError("; ".join(problem.message for problem in problems if problem.code is KaggleProblemCode.FILE))
    known = {station.station_id for station in stations}
    for variable, table in wide.items():
        unknown = [name for name in table.columns if name not in known]
        problems += _problem(
            FILES[variable], KaggleProblemCode.UNKNOWN_COLUMN, unknown, f"column of a city not in {CITIES}"
        )
    hours = pd.DatetimeIndex(sorted(set().union(*(table.index for table in wide.values()))), tz="UTC")
    tables = []
    for station in stations:
        city = {
            name: table[station.station_id].reindex(hours)
            for name, table in wide.items()
            if station.station_id in table
        }
        table = pd.DataFrame(city, index=hours, columns=list(FILES), dtype=float).dropna(how="all")
        tables.append(table.rename_axis("hour").reset_index().assign(station_id=station.station_id, source=NAME))
    rows = pd.concat(tables, ignore_index=True)
    return KaggleHistory(rows[list(HISTORY_COLUMNS)], stations, tuple(problems))


def _read_cities(zip_path: Path) -> tuple[tuple[Station, ...], list[KaggleProblem]]:
    text = read_member(zip_path, CITIES).decode("utf-8-sig", "replace")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        missing = [name for name in CITY_COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise SourceError(f"{zip_path}: {CITIES} has no column {', '.join(missing)}; it has {rows.fieldnames}")
        numbered = [(rows.line_num, row) for row in rows]
    except csv.Error as error:
        raise SourceError(f"{zip_path}: {CITIES}, line {rows.line_num}, cannot be read: {error}") from error
    stations: dict[str, Station] = {}
    bad, repeated = [], []
    for line, row in numbered:
        try:
            station = kaggle_station(row)
        except (AttributeError, TypeError, ValueError):  # None is the value of a missing field
            bad.append(f"line {line}")
            continue
        if station.station_id in stations:
            repeated.append(f"line {line}")
        stations.setdefault(station.station_id, station)
    if not stations:
        raise SourceError(f"{zip_path}: {CITIES} cannot be read: no row has a name and coordinates ({', '.join(bad)})")
    problems = _problem(CITIES, KaggleProblemCode.CITY, bad, "city without a valid name or coordinates")
    problems += _problem(CITIES, KaggleProblemCode.REPEATED_CITY, repeated, "row of a city that has one already")
    return tuple(stations.values()), problems


def _parse(lines: Sequence[str], columns: int) -> tuple[pd.DatetimeIndex, pd.DataFrame]:
    """Return the times (n,), NaT where unreadable, and the cells (n, columns), text where a column has no numbers."""
    if not lines:
        return pd.DatetimeIndex([], tz="UTC"), pd.DataFrame(columns=range(1, columns + 1))
    text = io.StringIO("\n".join(lines))
    table = pd.read_csv(text, header=None, dtype={0: str}, quoting=csv.QUOTE_NONE, low_memory=False)
    times = pd.to_datetime(table.pop(0), format="%Y-%m-%d %H:%M:%S", utc=True, errors="coerce")
    return pd.DatetimeIndex(times), table


def _usable_rows(
    name: str, numbers: npt.NDArray[np.int64], times: pd.DatetimeIndex
) -> tuple[npt.NDArray[np.bool_], list[KaggleProblem]]:
    readable = np.asarray(times.notna())
    inside = readable & np.asarray((times >= BEGIN) & (times < END))
    hourly = inside & np.asarray(times == times.floor("h"))
    repeated = hourly & np.asarray(times.duplicated(keep="last"))
    period = f"{BEGIN:%Y-%m-%d} to {END - pd.Timedelta(days=1):%Y-%m-%d}"
    problems = _problem(
        name, KaggleProblemCode.TIME, _lines(numbers[~readable]), "row whose time is not like 2013-01-31 23:00:00"
    )
    problems += _problem(
        name, KaggleProblemCode.TIME_RANGE, _lines(numbers[readable & ~inside]), f"row outside {period}"
    )
    problems += _problem(
        name, KaggleProblemCode.NOT_HOURLY, _lines(numbers[inside & ~hourly]), "row that is not a full hour"
    )
    problems += _problem(
        name, KaggleProblemCode.REPEATED_TIME, _lines(numbers[repeated]), "row whose time a later row repeats"
    )
    return hourly, problems


def _numbers(
    name: str, cells: pd.DataFrame, numbers: npt.NDArray[np.int64], columns: Sequence[str]
) -> tuple[npt.NDArray[np.float64], list[KaggleProblem]]:
    """Return the cells (n, columns) as numbers, NaN where missing or no finite number."""
    values = np.full(cells.shape, np.nan)
    bad = []
    for i, column in enumerate(columns):
        column_cells = cells.iloc[:, i]
        if column_cells.dtype != bool:  # the text True is not a number
            values[:, i] = pd.to_numeric(column_cells, errors="coerce")
        values[~np.isfinite(values[:, i]), i] = np.nan
        bad += [(int(number), column) for number in numbers[np.asarray(column_cells.notna()) & np.isnan(values[:, i])]]
    first = [f"line {line}, {column}" for line, column in sorted(bad)]
    return values, _problem(name, KaggleProblemCode.NUMBER, first, "cell that is not a number")


def _usable_columns(variable: str, table: pd.DataFrame) -> tuple[pd.DataFrame, list[KaggleProblem]]:
    """Return the table without repeated columns and columns in another unit."""
    name, (low, high, unit) = FILES[variable], MEDIAN_RANGE[variable]
    repeated = sorted(set(table.columns[table.columns.duplicated()]))
    problems = _problem(name, KaggleProblemCode.REPEATED_COLUMN, repeated, "city with several columns")
    table = table.drop(columns=repeated)
    if variable in CHECKED_BY_CITY:
        median = table.median()
        other = list(table.columns[(median < low) | (median > high)])
        message = f"city whose median is outside {low:g} to {high:g} {unit}, so in another unit"
        problems += _problem(name, KaggleProblemCode.UNIT, other, message)
        table = table.drop(columns=other)
    return table, problems


def _check_unit(zip_path: Path, variable: str, table: pd.DataFrame) -> None:
    """Raise SourceError if the values cannot be in the expected unit; there may be none."""
    low, high, unit = MEDIAN_RANGE[variable]
    values = table.to_numpy()
    values = values[np.isfinite(values)]
    median = np.median(values) if len(values) else None
    if median is not None and not low <= median <= high:
        raise SourceError(
            f"{zip_path}: the median of {FILES[variable]} is {median:g}, outside {low:g} to {high:g} {unit}; "
            "the file is in another unit"
        )


def _lines(numbers: Iterable[int]) -> list[str]:
    return [f"line {number}" for number in numbers]


def _problem(file: str, code: KaggleProblemCode, items: Sequence[str], message: str) -> list[KaggleProblem]:
    return [KaggleProblem(file, code, len(items), tuple(items[:LINES_NAMED]), message)] if items else []
