"""Hours of several stations from a text or Parquet file with one row for each station and time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from weatherglass.history.grid import GRID_VARIABLES
from weatherglass.history.hours import hours_from_readings, hours_of_times, usable_values
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.series_file import DIRECTION, Statements, read_network
from weatherglass.meteorology import wind_direction
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import VARIABLES
from weatherglass.stations import station_id_of


class FileHours(NamedTuple):
    """Hours by the rule of the hour.

    Attributes:
        table: columns of `prepared.HISTORY_COLUMNS` except `source`; one row per station and hour, UTC.
        columns: variable, or `time`, -> how its column was read.
        unused: what of the file is not used, and why.
    """

    table: pd.DataFrame
    columns: Mapping[str, str]
    unused: tuple[str, ...]


def read_hours(path: Path, now: datetime, stated: Statements | None = None) -> FileHours:
    """Read the readings of a file and compute the hours.

    Args:
        path: a text file, a Parquet file, or a folder of Parquet files.
        now: UTC.
        stated: units and time zone if the file does not state them.

    Raises:
        SourceError: as for `series_file.read_network`, or no reading belongs to an hour; names the file.
    """
    network = read_network(path, now, stated)
    series = network.series
    unused = [str(refusal) for refusal in series.refused]
    for skipped in series.skipped:
        what = f"values of {skipped.column!r}" if skipped.column else "lines"
        unused.append(f"{skipped.count} {what}, {skipped.code} (line {skipped.first_lines})")
    if columns := [name for name in series.unused_columns if name != network.station_column]:
        unused.append(f"the columns {', '.join(columns)}")
    names, rows = np.unique(network.stations, return_inverse=True)
    ids = np.array([station_id_of(name) for name in names], dtype=object)
    distinct = ~pd.DataFrame({"row": rows, "time": series.times}).duplicated(keep="last").to_numpy()
    if not distinct.all():
        unused.append(f"{(~distinct).sum()} readings that are repeated later in the file")
    outside = np.isnat(hours_of_times(series.times)) & distinct
    if outside.any():
        unused.append(
            f"{outside.sum()} of {distinct.sum()} readings, which are outside [H - 19 min, H + 1 min) of all hours H"
        )
    values = dict(zip((*VARIABLES, DIRECTION), series.values[distinct].T, strict=True))
    at, hours, means = hours_from_readings(rows[distinct], series.times[distinct], usable_values(values, RANGE_LIMITS))
    if not len(hours):
        raise SourceError(f"{path}: no reading is in the interval of an hour, [H - 19 min, H + 1 min)")
    by_variable = dict(zip(GRID_VARIABLES, means.T, strict=True))
    by_variable[DIRECTION] = wind_direction(by_variable["wind_u"], by_variable["wind_v"])
    table = pd.DataFrame({"station_id": ids[at], "hour": pd.to_datetime(hours.astype("datetime64[ns]"), utc=True)})
    return FileHours(table.assign(**{name: by_variable[name] for name in values}), series.columns, tuple(unused))
