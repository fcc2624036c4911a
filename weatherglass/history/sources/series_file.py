"""Readings of one station from a text or Parquet file with a header.

A column or a file whose time zone, time format, unit or number format is not certain is refused. Single lines and
values that cannot be read are skipped and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.history.sources import series_times, series_values
from weatherglass.history.sources.refusal import (
    MAX_UNREADABLE,
    Refusal,
    RefusalCode,
    RefusedError,
    Skipped,
    skipped,
)
from weatherglass.history.sources.series_times import TimeFormat, parse_times
from weatherglass.history.sources.text_table import read_table
from weatherglass.meteorology import relative_humidity
from weatherglass.records import UNITS, VARIABLES, Observation

STATION_NAMES = ("station_id", "station", "stations_id", "city")
DIRECTION, DEW_POINT = "wind_direction", "dew_point"
RECORD_COLUMNS = {"station_id", "timestamp"}
_TIME_OF_DAY = r"\d{1,2}(?::\d\d){0,2}(?:[.,]\d+)?\s*(?:[AaPp]\.?[Mm]?\.?)?"


@dataclass(frozen=True)
class Statements:
    """What the user states about a file.

    Attributes:
        units: variable -> unit, for a column whose unit the file does not state.
        time_zone: of times without a zone.
        columns: name in the header, with or without its annotation -> the name to read it by, such as `temperature`.
        station: of all readings.
        as_records: the readings become records. A file with only the names of a record has its units, and pressure at
            sea level is refused, because records have that at the station.
        max_unreadable: share of unreadable lines, or of unreadable values of a column, above which all is refused.
    """

    units: Mapping[str, str] = field(default_factory=dict)
    time_zone: tzinfo | None = None
    time_format: TimeFormat | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    station: str | None = None
    as_records: bool = False
    max_unreadable: float = MAX_UNREADABLE

    def header(self, cells: Sequence[str]) -> tuple[str, ...]:
        """Return the names to read the columns by."""
        names = []
        for cell in cells:
            name, annotation = series_values.split_annotation(cell)
            known = self.columns.get(name)
            renamed = f"{known} ({annotation})" if known and annotation else known
            names.append(self.columns.get(cell) or renamed or cell)
        return tuple(names)

    def unit(self, variable: str, header: Sequence[str]) -> str | None:
        """Return the unit of a variable that the user, or the contract of the records, states."""
        is_record = RECORD_COLUMNS <= set(header) <= Observation.model_fields.keys()
        return self.units.get(variable) or (_RECORD_UNITS.get(variable) if self.as_records and is_record else None)


_RECORD_UNITS = {**UNITS, "wind_gust": UNITS["wind_speed"]}


@dataclass(frozen=True)
class StationSeries:
    """Readings in the order of the file.

    Attributes:
        times: (n,) `datetime64[s]`, UTC; not necessarily ascending.
        values: (n, 4) as `VARIABLES`, °C, %, hPa, m/s; NaN where missing.
        lines: (n,) line of each reading in a text file, the first is 1; row of a Parquet file, the first is 1.
        columns: variable, or `time`, -> how its column was read.
        refused: columns that are not used.
        skipped: lines and values that are not used.
    """

    times: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    lines: npt.NDArray[np.int64]
    columns: Mapping[str, str]
    refused: tuple[Refusal, ...]
    skipped: tuple[Skipped, ...]
    unused_columns: tuple[str, ...]


@dataclass(frozen=True)
class NetworkSeries:
    """Readings of several stations in the order of the file.

    Attributes:
        stations: (n,) as written in the file.
        series: with values (n, variables), the wind direction in degrees.
        station_column: name in the header; None if there is none, or if it is not used.
    """

    stations: npt.NDArray[np.object_]
    series: StationSeries
    station_column: str | None


@dataclass(frozen=True)
class _Table:
    """Cells by position of the column, as text or as times and numbers of a Parquet file."""

    header: tuple[str, ...]
    header_line: int | None
    units: tuple[str, ...] | None
    unit_line: int | None
    cells: Sequence[pd.Series]
    lines: npt.NDArray[np.int64]
    skipped: tuple[Skipped, ...] = ()


def read_series(path: Path, now: datetime, stated: Statements | None = None) -> StationSeries:
    """Read a file of one station.

    Raises:
        RefusedError: the file is missing or no text or Parquet file; it has no header, no readings or several stations;
            its times are not certain; or the columns of all variables are refused.
    """
    stated = stated or Statements()
    table = _read_parquet(path, stated) if path.suffix == ".parquet" else _read_text(path, stated)
    _check_stations(path, table)
    return _series(path, table, now, stated)[0]


def read_network(
    path: Path,
    now: datetime,
    stated: Statements | None = None,
    variables: Sequence[str] = (*VARIABLES, DIRECTION),
) -> NetworkSeries:
    """Read a file with the readings of several stations, one row for each station and time.

    Args:
        path: a text file, a Parquet file, or a folder of Parquet files.
        variables: the last axis of the values.

    Raises:
        RefusedError: as for `read_series`, except that a column of the station is required if the station is not
            stated.
    """
    stated = stated or Statements()
    is_parquet = path.suffix == ".parquet" or path.is_dir()
    table = _read_parquet(path, stated, numbers=True) if is_parquet else _read_text(path, stated)
    at = next((i for i, name in enumerate(table.header) if series_values.normalised(name) in STATION_NAMES), None)
    if stated.station:
        _check_stations(path, table)
        series, _ = _series(path, table, now, stated, variables)
        return NetworkSeries(np.full(len(series.times), stated.station, dtype=object), series, None)
    if at is None:
        message = f"no column of the station, {' or '.join(STATION_NAMES)}; the columns are {', '.join(table.header)}"
        raise RefusedError(path, Refusal(RefusalCode.NO_STATION, message, table.header_line))
    series, read = _series(path, table, now, stated, variables)
    return NetworkSeries(read.cells[at].astype(str).to_numpy(object), series, table.header[at])


def _series(
    path: Path, table: _Table, now: datetime, stated: Statements, variables: Sequence[str] = VARIABLES
) -> tuple[StationSeries, _Table]:
    """Return the series, with the given variables, and the rows of the table with a readable time."""
    if not len(table.lines):
        raise RefusedError(path, Refusal(RefusalCode.NO_READINGS, "no readings below the header", table.header_line))
    time_at, parsed = _read_times(path, table, stated, now)
    readable = ~np.isnat(parsed.times)
    unread = [*table.skipped, *parsed.skipped]
    table = replace(table, cells=[cells[readable] for cells in table.cells], lines=table.lines[readable])
    values = np.full((len(table.lines), len(variables)), np.nan)
    columns = {"time": f"{' and '.join(repr(table.header[i]) for i in time_at)} ({parsed.description})"}
    refused: list[Refusal] = []
    chosen = _variable_columns(table, refused, (*variables, DEW_POINT), not stated.as_records)
    if not ({"temperature", DEW_POINT} <= set(chosen) and "humidity" not in chosen):
        chosen.pop(DEW_POINT, None)
    dew_point = None
    decimal = _decimal_mark(table, chosen)
    for variable, at in chosen.items():
        result = _read_column(table, variable, at, stated, decimal)
        if isinstance(result, Refusal):
            refused.append(result)
            continue
        read, unit, bad = result
        unread += bad
        if variable == DEW_POINT:
            dew_point = read
            columns["humidity"] = f"{table.header[at]!r} ({unit}) and the temperature"
            continue
        values[:, variables.index(variable)] = read
        columns[variable] = f"{table.header[at]!r} ({unit})"
    if dew_point is not None and "temperature" in columns:
        temperature = values[:, variables.index("temperature")]
        values[:, variables.index("humidity")] = relative_humidity(temperature, dew_point)
    if len(columns) == 1:
        raise RefusedError(path, refused[0])
    used = {*time_at, *chosen.values()}
    series = StationSeries(
        parsed.times[readable],
        values,
        table.lines,
        columns,
        tuple(refused),
        tuple(unread),
        tuple(name for i, name in enumerate(table.header) if i not in used),
    )
    return series, table


def _time_columns(header: Sequence[str]) -> list[int]:
    """Return the positions of the columns of times, the preferred one first."""
    keys = [_time_name(name)[0] for name in header]
    return sorted((i for i, key in enumerate(keys) if key), key=lambda i: series_times.NAMES.index(keys[i] or ""))


def _time_name(cell: str) -> tuple[str | None, tzinfo | None]:
    """Return the normalised name of a column of times and the zone that it states, as `time (UTC)` or `time_utc`."""
    name, annotation = series_values.split_annotation(cell)
    key = series_values.normalised(name)
    zone = series_times.zone_of_header(annotation) if annotation else None
    for ending in ("_utc", "_gmt"):
        if key.endswith(ending):
            key, zone = key.removesuffix(ending), series_times.parse_zone("UTC")
    return (key, zone) if key in series_times.NAMES else (None, None)


def _is_header(cells: Sequence[str]) -> bool:
    return bool(_time_columns(cells)) and any(series_values.variable_of(cell) for cell in cells)


def _is_unit_row(header: Sequence[str], cells: Sequence[str]) -> bool:
    """Return whether the line below the header has a known unit for a variable, and no time."""
    found = ((series_values.variable_of(name), cell) for name, cell in zip(header, cells, strict=True))
    has_unit = any(variable and series_values.find_unit(variable[0], cell) for variable, cell in found)
    return has_unit and not any(character.isdigit() for i in _time_columns(header) for character in cells[i])


def _read_text(path: Path, stated: Statements) -> _Table:
    text = read_table(
        path,
        lambda cells: _is_header(stated.header(cells)),
        lambda header, cells: _is_unit_row(stated.header(header), cells),
        stated.max_unreadable,
    )
    lines = np.array(text.lines, dtype=np.int64)
    whole = np.array([row is not None for row in text.rows], dtype=bool)
    cells = [pd.Series([row[i] for row in text.rows if row is not None], dtype=object) for i in range(len(text.header))]
    damaged = skipped(RefusalCode.FIELD_COUNT, lines[~whole])
    return _Table(
        stated.header(text.header), text.header_line, text.units, text.unit_line, cells, lines[whole], damaged
    )


def _read_parquet(path: Path, stated: Statements, numbers: bool = False) -> _Table:
    """Read the cells as text; `numbers`: those of columns of numbers as numbers, which need less memory."""
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise RefusedError(path, Refusal(RefusalCode.UNREADABLE, "the file does not exist")) from None
    except (OSError, ValueError) as error:  # Arrow raises subclasses of ValueError
        raise RefusedError(path, Refusal(RefusalCode.UNREADABLE, f"not a Parquet file: {error}")) from None
    frame = frame.reset_index() if any(frame.index.names) else frame
    header = stated.header([str(name) for name in frame.columns])
    if not _is_header(header):
        message = f"no time column or no variable; the columns are {', '.join(header)}"
        raise RefusedError(path, Refusal(RefusalCode.NO_HEADER, message))
    times = _time_columns(header)
    cells = [
        frame.iloc[:, i].reset_index(drop=True)
        if numbers and i not in times and pd.api.types.is_float_dtype(frame.iloc[:, i])
        else _as_text(frame.iloc[:, i])
        for i in range(len(header))
    ]
    return _Table(header, None, None, None, cells, np.arange(1, len(frame) + 1))


def _as_text(column: pd.Series) -> pd.Series:
    """Return the cells of a Parquet column as the text of a CSV file, times in ISO 8601."""
    missing = column.isna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(column):
        zone = "Z" if getattr(column.dtype, "tz", None) else ""
        naive = column.dt.tz_convert("UTC").dt.tz_localize(None) if zone else column
        text = naive.dt.strftime(f"%Y-%m-%dT%H:%M:%S{zone}")
    else:
        text = column.astype(object).map(lambda value: f"{value:.17g}" if isinstance(value, float) else str(value))
    return text.astype(object).where(~missing, "").reset_index(drop=True)


def _check_stations(path: Path, table: _Table) -> None:
    for name, cells in zip(table.header, table.cells, strict=True):
        if series_values.normalised(name) not in STATION_NAMES:
            continue
        others = np.flatnonzero(pd.factorize(cells)[0])
        if len(others):
            message = f"{cells.nunique()} stations; one is expected"
            refusal = Refusal(RefusalCode.SEVERAL_STATIONS, message, int(table.lines[others[0]]), name)
            raise RefusedError(path, refusal)


def _read_times(
    path: Path, table: _Table, stated: Statements, now: datetime
) -> tuple[tuple[int, ...], series_times.ParsedTimes]:
    """Return the positions of the column of times, or of the columns of date and time of day, and the times."""
    candidates = _time_columns(table.header)
    keys = {_time_name(table.header[i])[0]: i for i in reversed(candidates)}
    used: tuple[int, ...] = (candidates[0],)
    cells = table.cells[candidates[0]]
    for part in ("time", "hour"):
        if "date" in keys and part in keys and candidates[0] in (keys["date"], keys[part]):
            of_day = table.cells[keys[part]]
            if of_day.str.fullmatch(_TIME_OF_DAY).mean() > 0.5:
                used = (keys["date"], keys[part])
                cells = (table.cells[keys["date"]] + " " + of_day).where(of_day != "", "")
                break
    name = table.header[used[0]]
    in_header = next((zone for i in used if (zone := _time_name(table.header[i])[1])), None)
    if in_header and stated.time_zone and in_header != stated.time_zone:
        message = f"the header states the time zone {in_header}, and --time-zone {stated.time_zone}; omit one of them"
        raise RefusedError(path, Refusal(RefusalCode.TIME_ZONE, message, table.header_line, name))
    zone = in_header or stated.time_zone
    parsed = parse_times(name, cells, table.lines, zone, stated.time_format, now, stated.max_unreadable)
    if isinstance(parsed, Refusal):
        raise RefusedError(path, parsed)
    return used, parsed


def _variable_columns(
    table: _Table, refused: list[Refusal], variables: Sequence[str], sea_level: bool
) -> dict[str, int]:
    """Return the position of the column of each variable; a variable with several columns is refused.

    Args:
        sea_level: whether a pressure at sea level may be used if there is no other.
    """
    columns: dict[str, list[int]] = {}
    for i, name in enumerate(table.header):
        if found := series_values.variable_of(name):
            columns.setdefault(found[0], []).append(i)
    chosen: dict[str, int] = {}
    for variable in variables:
        found_at = columns.get(variable, [])
        station_level = [i for i in found_at if not series_values.is_sea_level(table.header[i])]
        if found_at and not station_level and not sea_level:
            message = "this is the pressure at sea level; records have the pressure at the station"
            name = table.header[found_at[0]]
            refused.append(Refusal(RefusalCode.SEA_LEVEL, message, table.header_line, name))
            continue
        found_at = station_level or found_at
        if len(found_at) > 1:
            names = ", ".join(repr(table.header[i]) for i in found_at)
            message = f"{variable} has several columns, {names}; keep or rename one of them"
            second = table.header[found_at[1]]
            refused.append(Refusal(RefusalCode.DUPLICATE_COLUMN, message, table.header_line, second))
        elif found_at:
            chosen[variable] = found_at[0]
    return chosen


def _decimal_mark(table: _Table, chosen: Mapping[str, int]) -> str | None:
    texts = (table.cells[i] for i in chosen.values() if not pd.api.types.is_numeric_dtype(table.cells[i]))
    cells = [text[~series_values.is_missing(text)] for text in texts]
    return series_values.decimal_mark(pd.concat(cells, ignore_index=True)) if cells else None


def _read_column(
    table: _Table, variable: str, at: int, stated: Statements, decimal: str | None
) -> tuple[npt.NDArray[np.float64], str, tuple[Skipped, ...]] | Refusal:
    name = table.header[at]
    found = series_values.variable_of(name)
    sources = (
        (found[1] if found else None, table.header_line),
        (table.units[at] if table.units else None, table.unit_line),
        (stated.unit(variable, table.header), None),
    )
    units = [(unit, line) for unit, line in sources if unit]
    known = [(unit, line) for unit, line in units if series_values.find_unit(variable, unit)]
    for unit, line in known[1:]:
        if series_values.find_unit(variable, unit) != series_values.find_unit(variable, known[0][0]):
            message = f"{variable} is in {known[0][0]!r} and in {unit!r}; correct or omit one of them"
            return Refusal(RefusalCode.UNIT_CONFLICT, message, line or known[0][1], name)
    unit_stated, line = (known or units)[0] if units else (None, table.header_line)
    return series_values.parse_column(
        variable, name, table.cells[at], table.lines, unit_stated, line, decimal, stated.max_unreadable
    )
