"""Interval factors: half-widths follow each station's own errors of recent weeks.

The quantiles of a training belong to the seasons and sensors of its history. The forecasts of recent weeks, with their
running bias subtracted, are compared with the observations every day, in units of the interval's half-width, and the
half-width is multiplied by a factor: conformal prediction on recent errors, weighted by age (Barber et al. 2023,
Conformal prediction beyond exchangeability, Annals of Statistics 51). A factor has two steps, because errors of one
station are autocorrelated and few: one for all stations by variable and lead, and one for the station by variable,
drawn towards 1 while the station has few days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import conformal_quantiles
from weatherglass.forecast.error_window import error_window
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.records import LEADS, VARIABLES

HALF_LIFE_HOURS = 20 * 24
"""Age at which the weight of an error has halved."""
STATION_PRIOR_DAYS = 5.0
"""Days of a station's errors that weigh as much as the prior that the station is like the others."""
COMMON_PRIOR_DAYS = 14.0
"""Days of errors of all stations that weigh as much as the prior that the training's half-widths are right."""
FACTOR_RANGE = (0.25, 4.0)
"""Limits of a factor; a value outside them indicates another problem."""

MIN_HALF_WIDTH = 1e-3
"""Lower limit of a half-width by which an error is divided, in the variable's unit."""

LevelBounds = Mapping[float, npt.NDArray]
"""Level -> (n, leads, variables) lower or upper bounds."""


def stack_factors(
    factors: Mapping[str, npt.NDArray[np.float64]], station_ids: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Return the factors (n, leads, variables, levels) of n stations; 1 for a missing station."""
    neutral = np.ones((len(LEADS), len(VARIABLES), len(LEVELS)))
    return np.array([factors.get(name, neutral) for name in station_ids]).reshape(-1, *neutral.shape)


def scale_intervals(
    values: npt.NDArray,
    lower: LevelBounds,
    upper: LevelBounds,
    factors: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
) -> tuple[dict[float, npt.NDArray], dict[float, npt.NDArray]]:
    """Multiply the half-widths of intervals; the interval of a higher level never becomes the narrower one.

    Args:
        values: (n, leads, variables).
        factors: (n, leads, variables, levels).
        bias: (n, leads, variables) by which the intervals are lowered.

    Returns:
        Lower and upper bounds by level.
    """
    scaled_lower: dict[float, npt.NDArray] = {}
    scaled_upper: dict[float, npt.NDArray] = {}
    half, corrected = np.zeros(values.shape), values - bias
    for k, level in enumerate(LEVELS):
        half = np.asarray(np.maximum(half, _half_width(values, lower[level], upper[level]) * factors[..., k]), float)
        scaled_lower[level], scaled_upper[level] = clip_to_limits(corrected - half), clip_to_limits(corrected + half)
    return scaled_lower, scaled_upper


def normalized_errors(
    values: npt.NDArray, lower: LevelBounds, upper: LevelBounds, truth: npt.NDArray
) -> npt.NDArray[np.float32]:
    """Return absolute errors in units of each interval's half-width, (n, leads, variables, levels); NaN if unknown."""
    error = np.abs(truth - values)
    return np.stack(
        [error / np.maximum(_half_width(values, lower[level], upper[level]), MIN_HALF_WIDTH) for level in LEVELS],
        axis=-1,
    ).astype(np.float32)


def interval_factors(
    station_ids: Sequence[str],
    base: npt.NDArray[np.datetime64],
    errors: npt.NDArray[np.float32],
    now: np.datetime64,
) -> dict[str, npt.NDArray[np.float64]]:
    """Compute factors from the forecasts of an `error_window` among n forecasts.

    Args:
        station_ids: n.
        base: (n,) base hours, UTC.
        errors: (n, leads, variables, levels) from `normalized_errors`, of bias-corrected values.

    Returns:
        Station -> (leads, variables, levels) factors; empty if the window covers too few days.
    """
    window = error_window(station_ids, base, now)
    if not window.is_long_enough:
        return {}
    names, row, age, errors = window.names, window.rows, window.age, window.select(errors)
    weight = 0.5 ** (age / HALF_LIFE_HOURS)
    common = np.ones((len(LEADS), len(VARIABLES), len(LEVELS)))
    for lead in range(len(LEADS)):
        for v in range(len(VARIABLES)):
            known = np.isfinite(errors[:, lead, v, 0])
            quantiles = _quantiles(errors[:, lead, v], weight[:, lead])
            common[lead, v] = _shrink(quantiles, age[known, lead], COMMON_PRIOR_DAYS)
    relative = errors / common
    own = np.ones((len(names), len(VARIABLES), len(LEVELS)))
    for s in range(len(names)):
        cases = row == s
        for v in range(len(VARIABLES)):
            known = np.isfinite(relative[cases, :, v, 0])
            own[s, v] = _shrink(_quantiles(relative[cases, :, v], weight[cases]), age[cases][known], STATION_PRIOR_DAYS)
    factors = np.clip(common * own[:, None], *FACTOR_RANGE)
    return dict(zip(names, factors, strict=True))


def _half_width(values: npt.NDArray, lower: npt.NDArray, upper: npt.NDArray) -> npt.NDArray:
    """Return the half-width before clipping: intervals are symmetric, but a physical limit can cut off one side."""
    return np.maximum(upper - values, values - lower)


def _shrink(factor: npt.NDArray[np.float64], ages: npt.NDArray[np.int64], prior_days: float) -> npt.NDArray[np.float64]:
    """Return a factor drawn towards 1 by the ratio of the days with errors (`ages` in hours) and the prior's days."""
    days = len(np.unique(ages // 24))
    return np.asarray(factor ** (days / (days + prior_days)))


def _quantiles(errors: npt.NDArray, weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each level the quantile of the errors (..., levels) of its interval; 1 if all errors are unknown."""
    known = np.isfinite(errors[..., 0])
    if not known.any():
        return np.ones(len(LEVELS))
    return np.array([conformal_quantiles.quantiles(errors[known][:, k], weight[known])[k] for k in range(len(LEVELS))])
