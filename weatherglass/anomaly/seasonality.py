"""The daily and the weekly cycle of a single series, robust against faults."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]

PERIODS = (24.0, 168.0)
"""Hours."""
MIN_PERIODS = 4
"""Periods that a series needs for a cycle; a cycle with fewer cannot be distinguished from slow changes."""
MIN_GAIN = 0.03
"""Share of the spread that a cycle must explain in periods that it was not estimated from."""


def seasonal(series: Array, start_hour: float, step_hours: float) -> Array:
    """Return the sum of the cycles of a series (moments,), 0 where it has none.

    Args:
        series: on a regular time axis; NaN where missing.
        start_hour: hours since a Monday, 0:00, of the first moment.
        step_hours: between two moments.
    """
    total = np.zeros(len(series))
    hours = start_hour + np.arange(len(series)) * step_hours
    for period in PERIODS:
        steps = round(period / step_hours)
        if steps < 4 or len(series) < MIN_PERIODS * steps:
            continue
        left = series - total
        detrended = left - _centred_median(left, steps)
        phase = np.floor(hours % period).astype(int)
        number = np.floor(hours / period).astype(int)
        known = np.isfinite(detrended)
        halves = [_profile(detrended, phase, known & (number % 2 == half), int(period)) for half in (0, 1)]
        unseen = np.where(number % 2 == 0, halves[1][phase], halves[0][phase])
        if _spread(detrended - unseen) < (1 - MIN_GAIN) * _spread(detrended):
            profile = _profile(detrended, phase, known, int(period))
            total = total + np.interp(
                hours % period, np.arange(-1, period + 2) + 0.5, np.r_[profile[-1], profile, profile[:2]]
            )
    return total


def _centred_median(series: Array, steps: int) -> Array:
    """Return running medians; windows of more than 200 moments are thinned, because a median does not need more."""
    stride = max(1, steps // 200)
    medians = (
        pd.Series(series[::stride]).rolling(steps // stride, center=True, min_periods=steps // stride // 4 + 1).median()
    )
    return np.interp(np.arange(len(series)), np.arange(0, len(series), stride), medians.bfill().ffill().to_numpy())


def _profile(values: Array, phase: npt.NDArray[np.int64], used: npt.NDArray[np.bool_], count: int) -> Array:
    medians = pd.Series(values[used]).groupby(phase[used]).median()
    return medians.reindex(range(count), fill_value=0.0).to_numpy(dtype=np.float64)


def _spread(values: Array) -> float:
    return float(np.nanmedian(np.abs(values)))
