"""The rule of the hour: which observations an hour is computed from, and how.

The value of a variable in hour H is the mean of the distinct observations in [H - 19 min, H + 1 min) that have it; it
is missing if there are none. Historical archives give instantaneous values on the hour, and a mean of the last twenty
minutes is closer to an instant than the mean of the trailing hour.

Hours are computed from observations (`hours_from_readings`: history, verification) or from the four window features
that tile the interval (`hours_from_windows`: serving). Both give the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import GRID_VARIABLES
from weatherglass.meteorology import wind_components
from weatherglass.qc.limits import RangeLimit
from weatherglass.records import AggregatedFeatures, Hour, WindowFeatures

Array = npt.NDArray[np.float64]

WINDOW = timedelta(minutes=5)
SLIDE = timedelta(minutes=1)
WATERMARK = timedelta(minutes=10)

HOUR_WINDOW_ENDS = (timedelta(minutes=1), timedelta(minutes=-4), timedelta(minutes=-9), timedelta(minutes=-14))
"""Ends, relative to the hour, of the four windows that tile [H - 19 min, H + 1 min)."""

BEFORE_HOUR, AFTER_HOUR = timedelta(minutes=19), timedelta(minutes=1)
"""An hour is computed from the observations in [hour - BEFORE_HOUR, hour + AFTER_HOUR)."""


def first_hour_since(time: datetime) -> datetime:
    """Return the first hour that is computed only from observations at or after a time, UTC."""
    begin = time.astimezone(UTC) + BEFORE_HOUR
    hour = begin.replace(minute=0, second=0, microsecond=0)
    return hour if hour == begin else hour + timedelta(hours=1)


_window_values = attrgetter("temperature.mean", "humidity.mean", "pressure.mean", "wind.u", "wind.v", "wind_speed.mean")
"""Means of a window, as `GRID_VARIABLES`."""
_window_counts = attrgetter(
    "count", "temperature.count", "humidity.count", "pressure.count", "wind.count", "wind.count", "wind_speed.count"
)
"""Number of observations of a window, and of those that have each of `GRID_VARIABLES`."""


def _hourly_means(groups: npt.NDArray[np.intp], values: Array, counts: Array) -> Array:
    """Compute the mean of each group and variable over the observations that have the variable.

    Args:
        groups: (n,) number of the hour of each row, 0 to the number of hours - 1.
        values: (n, variables) means of one or more observations; NaN where missing.
        counts: (n, variables) number of observations behind each value.

    Returns:
        (hours, variables); NaN where no observation has the variable.
    """
    hours = int(groups.max()) + 1 if len(groups) else 0
    known = np.isfinite(values)
    weights = np.where(known, counts, 0.0)
    totals = np.where(known, values, 0.0) * weights
    means = np.full((hours, values.shape[1]), np.nan)
    for variable in range(values.shape[1]):
        count = np.bincount(groups, weights[:, variable], hours)
        total = np.bincount(groups, totals[:, variable], hours)
        np.divide(total, count, out=means[:, variable], where=count > 0)
    return means


def usable_values(readings: Mapping[str, npt.ArrayLike], limits: Mapping[str, RangeLimit]) -> Array:
    """Return the values (n, 6) of `GRID_VARIABLES` of n observations; NaN where missing or outside the range limits.

    Args:
        readings: (n,) of each of the five variables of an observation, in the units of the records; NaN or None
            where missing.
        limits: of the five variables at the station (`qc.limits.range_limits`).
    """
    usable = {name: limit.usable(np.asarray(readings[name], float)) for name, limit in limits.items()}
    usable["wind_u"], usable["wind_v"] = wind_components(usable["wind_speed"], usable["wind_direction"])
    return np.column_stack([usable[name] for name in GRID_VARIABLES])


def hours_from_readings(
    rows: npt.NDArray[np.int64], times: npt.NDArray[np.datetime64], values: Array
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.datetime64], Array]:
    """Compute the hours of n distinct observations.

    Args:
        rows: (n,) row of the station of each observation.
        times: (n,) UTC.
        values: (n, variables); NaN where missing.

    Returns:
        Station rows (m,), hours `datetime64[h]` (m,) and values (m, variables) of every hour with an observation, in
        the order of rows and hours.
    """
    hours = hours_of_times(times)
    used = ~np.isnat(hours)
    rows, numbers, values = rows[used], hours[used].astype(np.int64), values[used]
    first = int(numbers.min()) if len(numbers) else 0
    span = int(numbers.max()) - first + 1 if len(numbers) else 1
    unique, groups = np.unique(rows * span + numbers - first, return_inverse=True)
    means = _hourly_means(groups, values, np.ones_like(values))
    return unique // span, (unique % span + first).astype("datetime64[h]"), means


def hours_of_times(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.datetime64]:
    """Return the hour, `datetime64[h]`, of observations at these times (UTC); NaT for those that belong to no hour."""
    shifted = times + np.timedelta64(BEFORE_HOUR)
    hours = shifted.astype("datetime64[h]")
    inside = shifted - hours < np.timedelta64(BEFORE_HOUR + AFTER_HOUR)
    return np.where(inside, hours, np.datetime64("NaT", "h"))


def hours_from_windows(
    keys: Iterable[tuple[str, datetime]], windows: Mapping[str, Mapping[datetime, AggregatedFeatures]]
) -> list[Hour]:
    """Compute hours from window features.

    Args:
        keys: station id and hour of each.
        windows: by station id, the latest state of the station's windows by their end.

    Returns:
        The hours in the order of `keys`, without those that have no window.
    """
    used = []
    for station_id, hour in keys:
        known = windows.get(station_id, {})
        if parts := [known[end] for offset in HOUR_WINDOW_ENDS if (end := hour + offset) in known]:
            used.append((station_id, hour, parts))
    if not used:
        return []
    groups = np.repeat(np.arange(len(used)), [len(parts) for *_, parts in used])
    values = np.array([_window_values(window) for *_, parts in used for window in parts], dtype=float)
    counts = np.array([_window_counts(window) for *_, parts in used for window in parts], dtype=float)
    # Records of older versions have no counts of single variables; the count of the window is used for them.
    counts = np.where(np.isnan(counts[:, 1:]), counts[:, :1], counts[:, 1:])
    means = _hourly_means(groups, values, counts)
    return [
        Hour(
            station_id=station_id,
            hour=hour,
            count=sum(window.count for window in parts),
            **{name: value if isfinite(value) else None for name, value in zip(GRID_VARIABLES, row, strict=True)},
        )
        for (station_id, hour, parts), row in zip(used, means.tolist(), strict=True)
    ]


def affected_hours(window: WindowFeatures) -> list[datetime]:
    """Return the hours that are computed from this window: none or one."""
    return [
        hour
        for offset in HOUR_WINDOW_ENDS
        if (hour := window.window_end.astimezone(UTC) - offset).minute == 0
        and hour.second == 0
        and hour.microsecond == 0
    ]
