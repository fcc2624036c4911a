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

ROUNDING = 1e-6
"""Hours by which sums of steps may be too early: a reading on the hour belongs to that hour."""


def seasonal(series: Array, start_hour: float, step_hours: float) -> Array:
    """Return the sum of the cycles of a series (moments,), 0 where it has none.

    Args:
        series: on a regular time axis; NaN where missing.
        start_hour: hours since a Monday, 0:00, of the first moment.
        step_hours: between two moments.
    """
    total = np.zeros(len(series))
    hours = start_hour + np.arange(len(series), dtype=np.float64) * step_hours
    for period in PERIODS:
        steps = round(period / step_hours)
        if steps < 4 or len(series) < MIN_PERIODS * steps:
            continue
        left = series - total
        detrended = left - _centred_median(left, steps)
        phase, even = np.asarray(hours % period, np.float64), np.floor(hours / period) % 2 == 0
        known = np.isfinite(detrended)
        if not (known & even).any() or not (known & ~even).any():
            continue
        of_even, of_odd = (_cycle(detrended, phase, known & half, period) for half in (even, ~even))
        unseen = np.where(even, of_odd, of_even)
        if _spread(detrended - unseen) < (1 - MIN_GAIN) * _spread(detrended):
            total = total + _cycle(detrended, phase, known, period)
    return total


def _centred_median(series: Array, steps: int) -> Array:
    """Return running medians; windows of more than 200 moments are thinned, because a median does not need more."""
    stride = max(1, steps // 200)
    medians = (
        pd.Series(series[::stride]).rolling(steps // stride, center=True, min_periods=steps // stride // 4 + 1).median()
    )
    return np.interp(np.arange(len(series)), np.arange(0, len(series), stride), medians.bfill().ffill().to_numpy())


def _cycle(values: Array, phase: Array, used: npt.NDArray[np.bool_], period: float) -> Array:
    """Return the cycle at each phase: medians of each hour of the period, interpolated between their mean phases."""
    hourly = pd.DataFrame({"phase": phase[used], "value": values[used]}).groupby(np.floor(phase[used] + ROUNDING))
    medians, means = hourly["value"].median(), hourly["phase"].mean()
    return np.interp(phase, means.to_numpy(), medians.to_numpy(), period=period)


def _spread(values: Array) -> float:
    return float(np.nanmedian(np.abs(values)))
