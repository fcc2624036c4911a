"""Readings of one station from a CSV or Parquet file with a time column and units in the header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.history.sources import SourceError
from weatherglass.records import VARIABLES

TIME_NAMES = ("timestamp", "time", "datetime", "date", "hour", "date_time", "valid")
"""Accepted names of the time column, in this order. Times are ISO 8601, UTC unless a zone is given, or seconds or
milliseconds since 1970."""
NAMES = {
    "temperature": ("temperature", "temp", "air_temperature", "temperature_2m", "t2m"),
    "humidity": ("humidity", "relative_humidity", "relative_humidity_2m", "humid", "rh"),
    "pressure": ("pressure", "surface_pressure", "station_pressure", "pressure_msl"),
    "wind_speed": ("wind_speed", "windspeed", "wind_speed_10m"),
}
UNITS = {
    "temperature": {"c": (1.0, 0.0), "k": (1.0, -273.15), "f": (5 / 9, -160 / 9)},
    "humidity": {"%": (1.0, 0.0), "percent": (1.0, 0.0)},
    "pressure": {"hpa": (1.0, 0.0), "mbar": (1.0, 0.0), "mb": (1.0, 0.0), "pa": (0.01, 0.0), "inhg": (33.8639, 0.0)},
    "wind_speed": {"m/s": (1.0, 0.0), "km/h": (1 / 3.6, 0.0), "mph": (0.44704, 0.0), "kt": (1852 / 3600, 0.0)},
}
"""Factor and offset to the units of the records; the first of each is used if the header has no unit."""
EPOCH_FROM = 1e8
"""A larger number is seconds since 1970; one larger than a thousand times this is milliseconds."""


@dataclass(frozen=True)
class StationSeries:
    """Readings in the order of the file.

    Attributes:
        times: (n,) `datetime64[s]`, UTC; not necessarily ascending.
        values: (n, 4) as `VARIABLES`, °C, %, hPa, m/s; NaN where missing.
        rows: (n,) row of the file; the first below the header is 1.
        rows_without_time: number of rows without a readable time.
    """

    times: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    rows_without_time: int
    unused_columns: tuple[str, ...]


def read_series(path: Path) -> StationSeries:
    """Read a file of one station.

    Raises:
        SourceError: the file is missing or unreadable, has no time, no variable, several stations or an unknown unit.
    """
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, low_memory=False)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist") from None
    except (OSError, ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise SourceError(f"{path} cannot be read as {path.suffix or 'CSV'}: {error}") from None
    if "station_id" in table and table["station_id"].nunique() > 1:
        raise SourceError(f"{path} contains {table['station_id'].nunique()} stations; one is expected")
    known = {_normalised(column): column for column in map(str, table.columns)}
    time = next((known[name] for name in TIME_NAMES if name in known), None)
    if time is None:
        raise SourceError(f"{path} has no time column ({', '.join(TIME_NAMES)}); it has {', '.join(known)}")
    columns = {v: next((known[n] for n in NAMES[v] if n in known), None) for v in VARIABLES}
    if not any(columns.values()):
        raise SourceError(f"{path} has none of {', '.join(VARIABLES)}; it has {', '.join(known)}")
    times = _times(table[time])
    values = np.full((len(table), len(VARIABLES)), np.nan)
    for v, variable in enumerate(VARIABLES):
        column = columns[variable]
        if column is not None:
            factor, offset = _unit(path, variable, column)
            values[:, v] = pd.to_numeric(table[column], errors="coerce").to_numpy(float) * factor + offset
    values[~np.isfinite(values)] = np.nan
    readable = ~np.isnat(times)
    used = {time, *columns.values()}
    return StationSeries(
        times[readable],
        values[readable],
        np.flatnonzero(readable) + 1,
        int((~readable).sum()),
        tuple(column for column in map(str, table.columns) if column not in used),
    )


def _normalised(column: str) -> str:
    """Normalise a column name: `Wind Speed (km/h)` becomes `wind_speed`."""
    return re.sub(r"\W+", "_", re.sub(r"[\[(].*", "", column).strip().lower()).strip("_")


def _unit(path: Path, variable: str, column: str) -> tuple[float, float]:
    match = re.search(r"[\[(](.*?)[\])]", column)
    known = UNITS[variable]
    if match is None:
        return next(iter(known.values()))
    unit = re.sub(r"[°*º\s]|deg", "", match.group(1).lower())
    if unit not in known:
        raise SourceError(f"{path}: column {column!r} has an unknown unit; known units: {', '.join(known)}")
    return known[unit]


def _times(column: pd.Series) -> npt.NDArray[np.datetime64]:
    if not pd.api.types.is_datetime64_any_dtype(column):
        number = pd.to_numeric(column, errors="coerce")
        if number.notna().mean() > 0.5 and number.median() > EPOCH_FROM:
            seconds = number / (1000 if number.median() > 1000 * EPOCH_FROM else 1)
            column = pd.to_datetime(seconds, unit="s", utc=True, errors="coerce")
    parsed = pd.to_datetime(column, utc=True, errors="coerce", format=None if column.dtype != object else "mixed")
    return parsed.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
