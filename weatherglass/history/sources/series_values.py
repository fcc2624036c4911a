"""Numbers, units and column names of a station's readings in text.

A unit is certain if the header, a unit row or the user states it, if the publisher of a column name fixes it, or if the
values are possible in one unit only: a median pressure of 1013 is in hPa, a median temperature of 15 may be °C or °F.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.history.sources.refusal import (
    MAX_UNREADABLE,
    Refusal,
    RefusalCode,
    Skipped,
    skipped,
)
from weatherglass.history.sources.units import UNITS, Unit, find_unit

Values = npt.NDArray[np.float64]
Lines = npt.NDArray[np.int64]


POSSIBLE_MEDIAN = {
    "temperature": (-70.0, 50.0),
    "humidity": (1.5, 110.0),
    "pressure": (300.0, 1090.0),
    "wind_speed": (0.0, 40.0),
    "wind_direction": (0.0, 360.0),
    "dew_point": (-80.0, 35.0),
    "wind_gust": (0.0, 60.0),
}
"""Median of a station's readings anywhere on land, in the unit of the records."""

NAMES = {
    "temperature": [
        "temperature",
        "temp",
        "air_temperature",
        "air_temp",
        "temperature_2m",
        "t2m",
        "outdoor_temperature",
        "outside_temperature",
        "temp_out",
        "outside_temp",
        "outtemp",
        "tmpf",
        "tmpc",
        "tt_10",
        "tt_tu",
    ],
    "humidity": [
        "humidity",
        "relative_humidity",
        "relative_humidity_2m",
        "humid",
        "hum",
        "rh",
        "rhum",
        "outdoor_humidity",
        "outside_humidity",
        "out_hum",
        "outhumidity",
        "relh",
        "rf_10",
        "rf_tu",
    ],
    "pressure": [
        "pressure",
        "air_pressure",
        "surface_pressure",
        "station_pressure",
        "station_level_pressure",
        "absolute_pressure",
        "pres",
        "pp_10",
    ],
    "wind_speed": ["wind_speed", "windspeed", "wind_speed_10m", "wspd", "sknt", "ff_10"],
    "wind_direction": [
        "wind_direction",
        "winddirection",
        "wind_direction_10m",
        "wind_dir",
        "winddir",
        "wdir",
        "wd",
        "drct",
        "dd_10",
    ],
    "wind_gust": ["wind_gust", "windgust", "gust", "gusts", "wind_gusts", "wind_gusts_10m"],
    "dew_point": ["dew_point", "dewpoint", "dew_point_2m", "dewpoint_2m", "dewp", "dwpf", "dwpc", "td_10"],
}
"""Names of columns, normalised by `normalised`."""
SEA_LEVEL_NAMES = ["pressure_msl", "sea_level_pressure", "mslp", "slp", "relative_pressure", "barometer"]
"""Used if there is no other column of pressure."""
NAMED_UNITS = {
    **{"tmpf": "f", "tmpc": "c", "relh": "%", "sknt": "kt", "dwpf": "f", "dwpc": "c"},
    **{"td_10": "c", "tt_10": "c", "tt_tu": "c", "rf_10": "%", "rf_tu": "%", "pp_10": "hpa", "ff_10": "m/s"},
}
"""Units fixed by the publisher of a name: Iowa Environmental Mesonet (ASOS download), Deutscher Wetterdienst."""

COMPASS = {
    name: 22.5 * number
    for number, name in enumerate(
        ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"]
    )
}
"""Degrees of the points of the compass."""
_VARIABLE_DIRECTIONS = frozenset(("VRB", "VARIABLE", "CALM"))

_MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "m", "missing", "-", "--", "---"))
_MISSING_NUMBER = re.compile(r"-9{3,5}(?:[.,][09]+)?")
"""Impossible for every variable in every unit; a positive 999 is a possible pressure."""
_SPACED_THOUSANDS = re.compile(r"(?<=[0-9])[ \u00a0\u2009\u202f'’](?=[0-9]{3}(?![0-9]))")
_DOT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_DOT_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+\.[0-9]*")
_COMMA = re.compile(r"[+-]?(?:[0-9]+,[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_COMMA_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]*")
_GROUPED_BY_COMMA = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+")
_GROUPED_BY_DOT = re.compile(r"[+-]?[1-9][0-9]{0,2}(?:\.[0-9]{3})+")


def normalised(name: str) -> str:
    """Return a column name in lower case, words joined by `_`: `Wind Speed` becomes `wind_speed`."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")


def split_annotation(cell: str) -> tuple[str, str | None]:
    """Split a cell of the header into name and unit or zone: `Temp (°C)`, `Temp [°C]` or `Temp, °C`."""
    match = re.fullmatch(r"(.*?)\s*[\[(]([^\[\]()]*)[\])]", cell) or re.fullmatch(r"([^,]*),\s*([^,]*)", cell)
    return (match[1], match[2].strip()) if match else (cell, None)


def variable_of(cell: str) -> tuple[str, str | None] | None:
    """Return variable and unit (None if not stated) of a cell of the header; None for other columns.

    Also with the unit as the last word: `temp_f`, `Pressure hPa`.
    """
    name, unit = split_annotation(cell)
    key = normalised(name)
    if variable := _variable_named(key):
        return variable, unit or NAMED_UNITS.get(key)
    if unit is None and (words := re.fullmatch(r"(.+)[\s_](\S+?)", cell.strip())):
        variable = _variable_named(normalised(words[1]))
        if variable and find_unit(variable, words[2]):
            return variable, words[2]
    return None


def is_sea_level(cell: str) -> bool:
    """Return whether a column of pressure is the one at sea level."""
    key = normalised(split_annotation(cell)[0])
    return any(key == name or key.startswith(f"{name}_") for name in SEA_LEVEL_NAMES)


def _variable_named(key: str) -> str | None:
    if key in SEA_LEVEL_NAMES:
        return "pressure"
    return next((variable for variable, names in NAMES.items() if key in names), None)


def parse_column(
    variable: str,
    column: str,
    cells: pd.Series,
    lines: Lines,
    unit: str | None,
    unit_line: int | None,
    decimal: str | None,
    max_unreadable: float = MAX_UNREADABLE,
) -> tuple[Values, str, tuple[Skipped, ...]] | Refusal:
    """Return the values (n,) in the unit of the records, NaN where missing or unreadable; the unit; what is skipped.

    Args:
        cells: (n,) text.
        lines: (n,) line numbers.
        unit: as stated; None if unknown.
        unit_line: line that states the unit.
        decimal: decimal mark of the other columns of the file; None if unknown.
        max_unreadable: share of the values above which the column is refused.
    """
    if pd.api.types.is_numeric_dtype(cells):  # of a Parquet file
        numbers = cells.to_numpy(float, na_value=np.nan)
        known = _unit(variable, column, unit, unit_line, numbers)
        return known if isinstance(known, Refusal) else (known.convert(numbers), known.name, ())
    if variable == "wind_direction":
        upper = cells.str.strip().str.upper()
        degrees = {name: f"{value:g}" for name, value in COMPASS.items()} | dict.fromkeys(_VARIABLE_DIRECTIONS, "")
        cells = upper.map(degrees).where(upper.isin(list(degrees)), cells)
    missing = is_missing(cells)
    if missing.all():
        return np.full(len(cells), np.nan), "no values", ()
    mark = decimal_mark(cells[~missing]) or decimal
    if mark is None and (at := np.flatnonzero(cells[~missing].str.fullmatch(_GROUPED_BY_COMMA))).size:
        message = (
            f"{cells[~missing].iloc[at[0]]!r} may have a decimal comma or a thousands separator, and no other value of "
            "the file tells; write it with a decimal point"
        )
        return Refusal(RefusalCode.DECIMAL_MARK, message, int(lines[~missing][at[0]]), column)
    values = _numbers(cells.where(~missing, ""), mark or ".")
    bad = ~missing & ~np.isfinite(values)
    if bad.sum() > max_unreadable * (~missing).sum():
        first = int(np.flatnonzero(bad)[0])
        message = f"{bad.sum()} of {(~missing).sum()} values are not numbers; the first is {cells.iloc[first]!r}"
        return Refusal(RefusalCode.NUMBER, message, int(lines[first]), column)
    known = _unit(variable, column, unit, unit_line, values)
    if isinstance(known, Refusal):
        return known
    return known.convert(values), known.name, skipped(RefusalCode.NUMBER, lines[bad], column)


def is_missing(cells: pd.Series) -> npt.NDArray[np.bool_]:
    """Return which of the cells (n,) mark a missing value."""
    lower = cells.str.lower()
    return np.asarray(lower.isin(_MISSING) | lower.str.fullmatch(_MISSING_NUMBER), dtype=bool)


def decimal_mark(cells: pd.Series) -> str | None:
    """Return the decimal mark that most of the cells prove; None if none of them does.

    `1,013` and `1.013` prove nothing, `12,5` proves a comma.
    """
    cells = cells.str.replace(_SPACED_THOUSANDS, "", regex=True)
    comma = (cells.str.fullmatch(_COMMA) & ~cells.str.fullmatch(_GROUPED_BY_COMMA)) | cells.str.fullmatch(
        _COMMA_THOUSANDS
    )
    dot = cells.str.fullmatch(_DOT) & cells.str.contains(".", regex=False) & ~cells.str.fullmatch(_GROUPED_BY_DOT)
    dot |= cells.str.fullmatch(_DOT_THOUSANDS)
    if not comma.any() and not dot.any():
        return None
    return "," if comma.sum() > dot.sum() else "."


def _numbers(cells: pd.Series, mark: str) -> Values:
    """Return the cells as numbers with a decimal mark; NaN for all others."""
    cells = cells.str.replace(_SPACED_THOUSANDS, "", regex=True).str.replace("\u2212", "-", regex=False)
    if mark == ",":
        readable = cells.str.fullmatch(_COMMA) | cells.str.fullmatch(_COMMA_THOUSANDS)
        readable |= cells.str.fullmatch(_GROUPED_BY_DOT) | cells.str.fullmatch(r"[+-]?[0-9]+")
        plain = cells.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    else:
        readable = cells.str.fullmatch(_DOT) | cells.str.fullmatch(_DOT_THOUSANDS)
        readable |= cells.str.fullmatch(_GROUPED_BY_COMMA)
        plain = cells.str.replace(",", "", regex=False)
    return pd.to_numeric(plain.where(readable.astype(bool)), errors="coerce").to_numpy(float)


def _unit(variable: str, column: str, unit: str | None, unit_line: int | None, values: Values) -> Unit | Refusal:
    """Return the unit that is stated or, if only one is possible, that of the values."""
    allowed = ", ".join(unit.name for unit in UNITS[variable])
    if unit:
        return find_unit(variable, unit) or Refusal(
            RefusalCode.UNIT_UNKNOWN,
            f"the unit {unit!r} of {variable} is unknown; known units: {allowed}. --unit {variable}=UNIT states it",
            unit_line,
            column,
        )
    finite = values[np.isfinite(values)]
    if not len(finite):
        return UNITS[variable][0]
    possible = _possible_units(variable, float(np.median(finite)))
    if len(possible) == 1:
        return possible[0]
    return Refusal(
        RefusalCode.UNIT_MISSING,
        f"the unit of {variable} is not stated; write it into the header, `{column} ({UNITS[variable][0].name})`, or "
        f"use --unit {variable}=UNIT with one of {allowed}",
        unit_line,
        column,
    )


def _possible_units(variable: str, median: float) -> list[Unit]:
    low, high = POSSIBLE_MEDIAN[variable]
    return [unit for unit in UNITS[variable] if low <= unit.convert(median) <= high]
