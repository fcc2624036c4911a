"""Prediction of a series from its own past, for a station without climatology and neighbours.

A robust ridge regression of each variable on its own last hours, on the same time of the previous days and on the
previous values of the other variables, trained on the checked series itself: twice, the second time without outliers.
The usual residual is estimated for each hour of the day; the limit follows the budget (`alarm_limit`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import alarm_limit
from weatherglass.anomaly.episodes import WEEK
from weatherglass.records import VARIABLES

MIN_DAYS = 7
HORIZONS = (0.0, 3.0)
"""Hours of the latest past that are hidden: without any, jumps are found; with three, faults that develop in hours."""
LAG_HOURS = (1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0)
WEEK_LAG_DAYS = 28
"""Days of a series from which on the value of a week ago is used: buildings and machines have weekly cycles."""
LONG_GAP_HOURS = 336.0
"""No prediction uses readings from before a gap of this length, which is longer than the longest lag and horizon."""
HOLD_HOURS = 3.0
"""A missing value is replaced by the last one for so long, or for one step."""
NEWEST_STEPS = 3
HARMONICS = 2
RIDGE = 10.0
OUTLIERS = 5.0


@dataclass(frozen=True)
class SelfPrediction:
    """Arrays (moments, variables); NaN where no prediction was possible.

    Attributes:
        expected: by the horizon with the largest ratio, in the variable's unit.
        ratio: distance from the expected value over the limit; above 1 is a flag.
        limit: the largest distance that is not flagged, in the variable's unit.
    """

    expected: npt.NDArray[np.float64]
    ratio: npt.NDArray[np.float64]
    limit: npt.NDArray[np.float64]


def predict(
    values: npt.NDArray[np.float64],
    start_hour: float,
    step_hours: float,
    budget: float,
    resolution: npt.NDArray[np.float64],
    gap: int,
) -> SelfPrediction | None:
    """Predict values (moments, 4) on a regular time axis; None for a series shorter than `MIN_DAYS`.

    Args:
        values: NaN where missing.
        start_hour: hours since a midnight, UTC, of the first moment.
        budget: false alarms per week and variable.
        resolution: (4,) smallest differences that matter; above 0.
        gap: distances at most this many moments apart are one alarm.
    """
    if len(values) * step_hours < MIN_DAYS * 24:
        return None
    results = [np.full(values.shape, np.nan) for _ in range(3)]
    hour_of_day = (start_hour + np.arange(len(values)) * step_hours) % 24
    for v in range(len(VARIABLES)):
        known = np.isfinite(values[:, v])
        if known.sum() * step_hours < MIN_DAYS * 24 * 0.5:
            continue
        allowed = budget * known.sum() * step_hours / WEEK / len(HORIZONS)
        for horizon in HORIZONS:
            expected, scale = _regress(values, v, hour_of_day, step_hours, horizon)
            scale = np.maximum(scale, resolution[v])
            distance = np.abs(values[:, v] - expected) / scale
            limit = alarm_limit.fit(distance, allowed, gap)
            worse = np.isfinite(distance) & ~(distance / limit <= results[1][:, v])
            for array, column in zip(results, (expected, distance / limit, scale * limit), strict=True):
                array[worse, v] = column[worse]
    return SelfPrediction(*results)


def _regress(
    values: npt.NDArray[np.float64], v: int, hour_of_day: npt.NDArray, step_hours: float, horizon: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the expected values and their usual error, each (moments,)."""
    hidden = round(horizon / step_hours)
    longest = 168.0 if len(values) * step_hours >= WEEK_LAG_DAYS * 24 else 48.0
    lags = sorted(
        {hidden + k for k in range(1, NEWEST_STEPS + 1)}
        | {round(hours / step_hours) for hours in (*LAG_HOURS, longest) if round(hours / step_hours) > hidden}
    )
    held = _hold(values, max(1, round(HOLD_HOURS / step_hours)))
    median = np.full(values.shape[1], np.nan)
    reported = np.isfinite(values).any(axis=0)
    median[reported] = np.nanmedian(values[:, reported], axis=0)
    missing = np.isnan(held)
    held = np.where(missing, median, held) - median
    columns = [_lagged(held[:, v], lag) for lag in lags]
    columns += [_lagged(held[:, u], hidden + 1) for u in range(values.shape[1]) if u != v and np.isfinite(median[u])]
    angle = 2 * np.pi * hour_of_day / 24
    columns += [wave(k * angle) * 1.0 for k in range(1, HARMONICS + 1) for wave in (np.cos, np.sin)]
    inputs = np.column_stack([np.ones(len(values)), *columns])
    has_past = ~_lagged(missing[:, v].astype(float), hidden + 1, 1.0).astype(bool)
    has_past[: round(24 / step_hours)] = False
    target = values[:, v] - median[v]
    inliers = np.isfinite(target) & has_past
    if not inliers.any():
        return np.full(len(values), np.nan), np.ones(len(values))
    spread = np.maximum(inputs.std(axis=0), 1e-6)
    spread[0] = 1
    inputs = inputs / spread
    error = np.full(len(values), np.nan)
    for _ in range(2):
        gram = inputs[inliers].T @ inputs[inliers] + RIDGE * np.eye(inputs.shape[1])
        expected = inputs @ np.linalg.solve(gram, inputs[inliers].T @ target[inliers])
        error = np.abs(target - expected)
        inliers &= error <= OUTLIERS * _scale(error[inliers])
    expected = np.where(has_past, expected + median[v], np.nan)
    return expected, _scale_by_hour(error, inliers, hour_of_day)


def _scale(error: npt.NDArray[np.float64]) -> float:
    return max(1.4826 * float(np.median(error)), 1e-3)


def _scale_by_hour(
    error: npt.NDArray, inliers: npt.NDArray[np.bool_], hour_of_day: npt.NDArray
) -> npt.NDArray[np.float64]:
    """Return the robust standard deviation at each moment, from the same and the adjacent hours of all days."""
    hour = hour_of_day.astype(int) % 24
    overall = _scale(error[inliers])
    by_hour = np.full(24, overall)
    for h in range(24):
        near = inliers & np.isin(hour, [(h - 1) % 24, h, (h + 1) % 24])
        if near.sum() >= 30:
            by_hour[h] = max(_scale(error[near]), 0.5 * overall)
    return by_hour[hour]


def _hold(values: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.float64]:
    """Fill gaps with the last value for at most `steps` steps."""
    known = np.isfinite(values)
    moment = np.arange(len(values))[:, None]
    newest = np.maximum.accumulate(np.where(known, moment, -steps - 1), axis=0)
    held = np.take_along_axis(values, np.maximum(newest, 0), axis=0)
    return np.where(moment - newest <= steps, held, np.nan)


def _lagged(series: npt.NDArray[np.float64], lag: int, before: float = 0.0) -> npt.NDArray[np.float64]:
    return np.concatenate([np.full(min(lag, len(series)), before), series[:-lag]])[: len(series)]
