"""Departures of a single series from its recent level: pulses, level shifts and drifts of any length.

For each window the level is the median of the readings in the window that ends before the reading, so a fault that
lasts less than half the window does not change it. Daily and weekly cycles are removed first. A fault shows in the
windows that are longer than it, a slow drift only in the longest. The limit of each window follows the budget
(`alarm_limit`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.anomaly import alarm_limit, seasonality

Array = npt.NDArray[np.float64]

WINDOW_HOURS = (0.25, 1.0, 6.0, 24.0, 96.0, 336.0)
MIN_STEPS = 24
"""Readings in a window; with fewer the median is noise."""
MIN_WINDOWS = 4
"""Windows that a series has to contain, so that their usual departures are known."""
MIN_SHARE = 0.25
"""Share of the moments of a window that have to be known for a median."""
SMOOTHING = 48
"""The reading is the median over a window this many times shorter."""
LOWER_LIMIT = 0.5
"""A departure lasts while it exceeds this share of the limit on the same side."""
MEDIAN_READINGS = 400
"""Windows with more readings are thinned to about so many."""


@dataclass(frozen=True)
class Departures:
    """Arrays (moments,); NaN where not checked.

    Attributes:
        ratio: distance from the level over the limit, of the window with the largest; above 1 is a departure.
        expected: the level plus the cycles, in the variable's unit.
        limit: the largest distance that is not a departure.
        flagged: inside a departure, which begins and ends at `LOWER_LIMIT`.
    """

    ratio: Array
    expected: Array
    limit: Array
    flagged: npt.NDArray[np.bool_]


def find(
    series: Array, start_hour: float, step_hours: float, allowed: float, resolution: float, gap: int
) -> Departures | None:
    """Find departures of a series; None if it is too short for the shortest window, or has too few readings in each.

    Args:
        series: (moments,) on a regular time axis; NaN where missing.
        start_hour: hours since a Monday, 0:00, of the first moment.
        allowed: false alarms in the whole series.
        resolution: smallest difference that matters; above 0.
        gap: departures at most this many moments apart are one.
    """
    windows = [steps for steps in _windows(step_hours) if steps <= len(series) / MIN_WINDOWS]
    if not windows or np.isfinite(series).sum() < MIN_STEPS * MIN_WINDOWS:
        return None
    cycle = seasonality.seasonal(series, start_hour, step_hours)
    values = series - cycle
    hour = np.floor((start_hour + np.arange(len(series)) * step_hours) % 24).astype(int)
    ratio, expected, limits = (np.full(len(series), np.nan) for _ in range(3))
    flagged = np.zeros(len(series), bool)
    for steps in windows:
        level, current = _level(values, steps), _smoothed(values, steps // SMOOTHING)
        distance = current - level
        if not np.isfinite(distance).any():
            continue
        scale = np.maximum(_scale(distance, hour, len(series) * step_hours), resolution)
        score = np.abs(distance) / scale
        limit = alarm_limit.fit(score, allowed / len(windows), gap)
        of_window = score / limit
        flagged |= _extended(of_window, np.sign(distance)) & np.isfinite(series)
        larger = np.isfinite(of_window) & ~(of_window <= ratio)
        ratio[larger], expected[larger], limits[larger] = (
            of_window[larger],
            (level + cycle)[larger],
            (scale * limit)[larger],
        )
    return Departures(ratio, expected, limits, flagged) if np.isfinite(ratio).any() else None


def needed_readings(step_hours: float) -> int | None:
    """Return the length of the shortest series that can be checked, in readings; None if they are too rare."""
    return min((steps * MIN_WINDOWS for steps in _windows(step_hours)), default=None)


def _windows(step_hours: float) -> list[int]:
    """Return the lengths of the windows that hold enough readings, in steps."""
    return [steps for steps in (round(hours / step_hours) for hours in WINDOW_HOURS) if steps >= MIN_STEPS]


def _level(values: Array, steps: int) -> Array:
    """Return the median of the `steps` moments before each; of those after it, until there are enough before it."""
    past = _trailing_median(values, steps)
    future = _trailing_median(values[::-1], steps)[::-1]
    begin = np.arange(len(values)) < steps
    return np.where(begin, np.where(np.isfinite(future), future, past), past)


def _trailing_median(values: Array, steps: int) -> Array:
    stride = max(1, steps // MEDIAN_READINGS)
    thinned = pd.Series(values[::stride])
    count = steps // stride
    medians = thinned.rolling(count, min_periods=int(count * MIN_SHARE)).median().to_numpy()
    before = np.concatenate([[np.nan], medians])  # the median ends before the moment
    return before[(np.arange(len(values)) + stride - 1) // stride]


def _smoothed(values: Array, steps: int) -> Array:
    if steps < 2:
        return values
    smooth = pd.Series(values).rolling(steps | 1, center=True, min_periods=1).median().to_numpy()
    return np.where(np.isfinite(values), smooth, np.nan)


def _scale(distance: Array, hour: npt.NDArray[np.int64], span_hours: float) -> Array:
    """Return the robust standard deviation at each moment: by hour of the day in a series of at least a week."""
    overall = 1.4826 * float(np.nanmedian(np.abs(distance)))
    by_hour = np.full(24, overall)
    if span_hours >= 7 * 24:
        medians = 1.4826 * pd.Series(np.abs(distance)).groupby(hour).median().dropna()
        by_hour[medians.index] = np.maximum(medians, 0.5 * overall)
        by_hour = (np.roll(by_hour, 1) + by_hour + np.roll(by_hour, -1)) / 3
    return by_hour[hour]


def _extended(ratio: Array, side: Array) -> npt.NDArray[np.bool_]:
    """Mark the runs of moments above `LOWER_LIMIT` on one side that contain a moment above 1."""
    part = np.where(ratio > LOWER_LIMIT, side, 0)
    run = np.cumsum(np.diff(part, prepend=part[:1]) != 0)
    exceeds = np.bincount(run, weights=ratio > 1) > 0
    return np.asarray(exceeds[run] & (part != 0))
