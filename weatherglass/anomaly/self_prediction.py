"""What a single series lets one expect of its next value, where there is neither climatology nor neighbour.

A robust ridge regression of each variable on its own last hours, on the same time of the days before and on the other
variables before, learnt from the very series that it judges: twice, the second time without what lies far off. How far
off is usual is asked for each hour of the day. The limit follows a budget of false alarms, by the tail of ordinary
distances (peaks over threshold: Coles 2001, An Introduction to Statistical Modeling of Extreme Values, chapter 4), not
by the largest ones, since these may be the faults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.episodes import WEEK
from weatherglass.records import VARIABLES

MIN_DAYS = 7
HORIZONS = (0.0, 3.0)
"""Hours of the newest past that are hidden: none finds jumps, three find what goes wrong within hours."""
LAG_HOURS = (1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0)
NEWEST_STEPS = 3
HARMONICS = 2
RIDGE = 10.0
OUTLIERS = 5.0
ORDINARY = 0.98
"""The tail is fitted on the distances beyond this share."""
LOWEST_LIMIT = 4.0
"""Robust standard deviations: what is nearer is never flagged."""


@dataclass(frozen=True)
class SelfPrediction:
    """Axes (moments, variables); NaN where nothing could be expected.

    Attributes:
        expected: by the horizon that is furthest off, in the variable's unit.
        ratio: distance from it over what is allowed; above 1 is a flag.
        allowed: the largest distance that is usual there.
    """

    expected: npt.NDArray[np.float64]
    ratio: npt.NDArray[np.float64]
    allowed: npt.NDArray[np.float64]


def judge(
    values: npt.NDArray[np.float64], start_hour: float, step_hours: float, budget: float
) -> SelfPrediction | None:
    """Judge values (moments, 4) on a regular axis that begins at `start_hour` of the day (UTC), NaN where missing.

    `budget` false alarms a week and variable. None for a series shorter than `MIN_DAYS`.
    """
    if len(values) * step_hours < MIN_DAYS * 24:
        return None
    made = [np.full(values.shape, np.nan) for _ in range(3)]
    clock = (start_hour + np.arange(len(values)) * step_hours) % 24
    for v in range(len(VARIABLES)):
        known = np.isfinite(values[:, v])
        if known.sum() * step_hours < MIN_DAYS * 24 * 0.5:
            continue
        for horizon in HORIZONS:
            expected, scale = _expect(values, v, clock, step_hours, horizon)
            distance = np.abs(values[:, v] - expected) / scale
            limit = _limit(distance[np.isfinite(distance)], budget * known.sum() * step_hours / WEEK)
            worse = np.isfinite(distance) & ~(distance / limit <= made[1][:, v])
            for array, column in zip(made, (expected, distance / limit, scale * limit), strict=True):
                array[worse, v] = column[worse]
    return SelfPrediction(*made)


def _expect(
    values: npt.NDArray[np.float64], v: int, clock: npt.NDArray, step_hours: float, horizon: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Expected values and their usual error, each (moments,)."""
    hidden = round(horizon / step_hours)
    lags = sorted(
        {hidden + k for k in range(1, NEWEST_STEPS + 1)}
        | {round(hours / step_hours) for hours in LAG_HOURS if round(hours / step_hours) > hidden}
    )
    held = _held(values, max(1, round(3 / step_hours)))
    middle = np.nanmedian(values, axis=0)
    blank = np.isnan(held)
    held = np.where(blank, middle, held) - middle
    columns = [_ago(held[:, v], lag) for lag in lags]
    columns += [_ago(held[:, u], hidden + 1) for u in range(values.shape[1]) if u != v and np.isfinite(middle[u])]
    turn = 2 * np.pi * clock / 24
    columns += [wave(k * turn) * 1.0 for k in range(1, HARMONICS + 1) for wave in (np.cos, np.sin)]
    inputs = np.column_stack([np.ones(len(values)), *columns])
    fresh = ~_ago(blank[:, v].astype(float), hidden + 1, 1.0).astype(bool)
    fresh[: round(24 / step_hours)] = False
    target = values[:, v] - middle[v]
    usual = np.isfinite(target) & fresh
    spread = np.maximum(inputs.std(axis=0), 1e-6)
    spread[0] = 1
    inputs = inputs / spread
    error = np.full(len(values), np.nan)
    for _ in range(2):
        gram = inputs[usual].T @ inputs[usual] + RIDGE * np.eye(inputs.shape[1])
        expected = inputs @ np.linalg.solve(gram, inputs[usual].T @ target[usual])
        error = np.abs(target - expected)
        usual &= error <= OUTLIERS * _scale(error[usual])
    expected = np.where(fresh, expected + middle[v], np.nan)
    return expected, _scale_by_hour(error, usual, clock)


def _scale(error: npt.NDArray[np.float64]) -> float:
    return max(1.4826 * float(np.median(error)), 1e-3)


def _scale_by_hour(error: npt.NDArray, usual: npt.NDArray[np.bool_], clock: npt.NDArray) -> npt.NDArray[np.float64]:
    """Robust standard deviation at each moment, from the same hours of all days and their neighbours."""
    hour = clock.astype(int) % 24
    overall = _scale(error[usual])
    made = np.full(24, overall)
    for h in range(24):
        near = usual & np.isin(hour, [(h - 1) % 24, h, (h + 1) % 24])
        if near.sum() >= 30:
            made[h] = max(_scale(error[near]), 0.5 * overall)
    return made[hour]


def _limit(distance: npt.NDArray[np.float64], allowed: float) -> float:
    """The distance that ordinary values pass `allowed` times: an exponential tail, its scale from the median excess."""
    if len(distance) == 0:
        return LOWEST_LIMIT
    begin = float(np.quantile(distance, ORDINARY))
    excess = distance[distance > begin] - begin
    if len(excess) == 0:
        return LOWEST_LIMIT
    scale = float(np.median(excess)) / np.log(2)
    return max(LOWEST_LIMIT, begin + scale * float(np.log(max(1.0, len(excess) / max(allowed, 1e-3)))))


def _held(values: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.float64]:
    """A hole is filled with the last value for at most so many steps."""
    known = np.isfinite(values)
    moment = np.arange(len(values))[:, None]
    newest = np.maximum.accumulate(np.where(known, moment, -steps - 1), axis=0)
    held = np.take_along_axis(values, np.maximum(newest, 0), axis=0)
    return np.where(moment - newest <= steps, held, np.nan)


def _ago(series: npt.NDArray[np.float64], lag: int, before: float = 0.0) -> npt.NDArray[np.float64]:
    return np.concatenate([np.full(min(lag, len(series)), before), series[:-lag]])[: len(series)]
