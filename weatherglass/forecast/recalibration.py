"""Intervals held to what came true: a station's half-widths follow its own errors of the last weeks.

The quantiles of training belong to the seasons and the sensors it has seen. What serves is measured day by day
against the truth, in units of its own half-width, and widened or narrowed by a factor: conformal prediction on the
most recent errors, which count more the newer they are (Barber et al. 2023, Conformal prediction beyond
exchangeability, Annals of Statistics 51). A factor has two steps, since errors of one station come in spells and are
few: one of all stations by variable and group of leads, and one of the station by variable, drawn towards 1 as long
as the station has few days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import conformal
from weatherglass.forecast.boosted_trees import LEAD_GROUPS
from weatherglass.forecast.forecaster import LEVELS, Forecast, Forecaster
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

WINDOW_DAYS = 60
"""Valid times that a factor rests on."""
HALF_LIFE_HOURS = 20 * 24
"""Age at which an error counts half."""
STATION_PRIOR_DAYS = 5.0
"""Days of a station's own errors that count as much as the belief that it is like the others."""
COMMON_PRIOR_DAYS = 14.0
"""The same for the errors of all stations, against the belief that training was right."""
MIN_DAYS = 3
"""Before so many days have come true, nothing is changed."""
FACTOR_RANGE = (0.25, 4.0)
"""A factor beyond these says that something else is wrong."""

MIN_HALF_WIDTH = 1e-3
"""A narrower interval counts as so wide, in the variable's unit."""

LevelBounds = Mapping[float, npt.NDArray]
IntervalFactors = Mapping[str, npt.NDArray[np.float64]]
"""Station -> (leads, variables, levels) factors of its half-widths; 1 for who is not named."""


@dataclass(frozen=True)
class RecalibratedForecaster:
    """A `forecast.Forecaster` whose intervals are made wider or narrower."""

    forecaster: Forecaster
    widths: IntervalFactors

    def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
        """See `forecast.Forecaster`."""
        made = self.forecaster.forecast(grid, rows, base)
        lower, upper = scale_intervals(made.values, made.lower, made.upper, stack_factors(self.widths, made.station_ids))
        return replace(made, lower=lower, upper=upper)


def stack_factors(widths: IntervalFactors, station_ids: Sequence[str]) -> npt.NDArray[np.float64]:
    """(n, leads, variables, levels) of n stations."""
    neutral = np.ones((len(LEADS), len(VARIABLES), len(LEVELS)))
    return np.array([widths.get(name, neutral) for name in station_ids]).reshape(-1, *neutral.shape)


def scale_intervals(
    values: npt.NDArray, lower: LevelBounds, upper: LevelBounds, by: npt.NDArray[np.float64]
) -> tuple[dict[float, npt.NDArray], dict[float, npt.NDArray]]:
    """Bounds of intervals whose half-widths are multiplied; a higher level is never narrower than a lower one.

    Args:
        values: (n, leads, variables); the bounds of each level have the same shape.
        by: (n, leads, variables, levels).
    """
    made: tuple[dict[float, npt.NDArray], dict[float, npt.NDArray]] = ({}, {})
    half = np.zeros(values.shape)
    for k, level in enumerate(LEVELS):
        half = np.asarray(np.maximum(half, _half_width(values, lower[level], upper[level]) * by[..., k]), np.float64)
        made[0][level], made[1][level] = clip_to_limits(values - half), clip_to_limits(values + half)
    return made


def normalized_errors(values: npt.NDArray, lower: LevelBounds, upper: LevelBounds, truth: npt.NDArray) -> npt.NDArray[np.float32]:
    """(n, leads, variables, levels): distance of the truth in half-widths of each interval; NaN where it is unknown."""
    off = np.abs(truth - values)
    return np.stack(
        [off / np.maximum(_half_width(values, lower[level], upper[level]), MIN_HALF_WIDTH) for level in LEVELS], axis=-1
    ).astype(np.float32)


def interval_factors(
    station_ids: Sequence[str],
    base: npt.NDArray[np.datetime64],
    scored: npt.NDArray[np.float32],
    now: np.datetime64,
) -> dict[str, npt.NDArray[np.float64]]:
    """Factors from n forecasts, of which only what was due in the `WINDOW_DAYS` up to `now` is used.

    Args:
        station_ids: n.
        base: (n,) hours, UTC.
        scored: (n, leads, variables, levels) from `normalized_errors`, of intervals that were not resized.

    Returns:
        Nothing for anybody while fewer than `MIN_DAYS` have come true.
    """
    age = (now - (base[:, None] + np.array(LEADS))).astype(np.int64)
    due = (age >= 0) & (age < 24 * WINDOW_DAYS)
    seen = due.any(axis=1)
    names, row = np.unique(np.array(station_ids)[seen], return_inverse=True)
    age, due, scored = age[seen], due[seen], np.where(due[seen][..., None, None], scored[seen], np.nan)
    if len(names) == 0 or age[due].max() < 24 * MIN_DAYS:
        return {}
    weight = 0.5 ** (age / HALF_LIFE_HOURS)
    common = np.ones((len(LEADS), len(VARIABLES), len(LEVELS)))
    for leads in LEAD_GROUPS:
        at = np.array(leads) - 1
        for v in range(len(VARIABLES)):
            told = np.isfinite(scored[:, at, v, 0])
            common[at, v] = _shrink(_quantiles(scored[:, at, v], weight[:, at]), age[:, at][told], COMMON_PRIOR_DAYS)
    relative = scored / common
    own = np.ones((len(names), len(VARIABLES), len(LEVELS)))
    for s in range(len(names)):
        mine = row == s
        for v in range(len(VARIABLES)):
            told = np.isfinite(relative[mine, :, v, 0])
            own[s, v] = _shrink(_quantiles(relative[mine, :, v], weight[mine]), age[mine][told], STATION_PRIOR_DAYS)
    made = np.clip(common * own[:, None], *FACTOR_RANGE)
    return dict(zip(names.tolist(), made, strict=True))


def _half_width(values: npt.NDArray, lower: npt.NDArray, upper: npt.NDArray) -> npt.NDArray:
    """Intervals are symmetric, but cut off where physics ends, on one side at most."""
    return np.maximum(upper - values, values - lower)


def _shrink(factor: npt.NDArray[np.float64], ages: npt.NDArray[np.int64], doubt: float) -> npt.NDArray[np.float64]:
    """A factor drawn towards 1, by the days that have told it (`ages` in hours) and the days that the belief weighs."""
    days = len(np.unique(ages // 24))
    return np.asarray(factor ** (days / (days + doubt)))


def _quantiles(scored: npt.NDArray, weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(levels,) of scores (..., levels), each level's of its own interval; 1 where no truth is known."""
    known = np.isfinite(scored[..., 0])
    if not known.any():
        return np.ones(len(LEVELS))
    return np.array([conformal.quantiles(scored[known][:, k], weight[known])[k] for k in range(len(LEVELS))])
