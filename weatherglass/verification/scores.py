"""Scoring rules of forecasts. Training, evaluation and verification use these functions and no others.

Arrays have any shape unless stated otherwise. NaN marks a missing forecast or observation; the score of such a case is
NaN and does not count in a mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

SKILL_LEADS = tuple(range(6, 25, 3))
"""Leads (hours) over which errors and skill are averaged."""
BLOCK_HOURS = 5 * 24
"""Length of the blocks of cases that count as independent: longer than a weather system takes to pass."""

PERCENTAGE_MIN = np.array([np.inf, 10.0, 500.0, 2.0])
"""Least observation (variables,) of which an error is a percentage: none of temperature, 10 %, 500 hPa, 2 m/s."""

Floats = npt.NDArray[Any]
Score = TypeVar("Score", float, npt.NDArray[Any])


def error(forecast: Floats, observed: Floats) -> Floats:
    """Forecast minus observation."""
    return forecast - observed


def absolute_error(forecast: Floats, observed: Floats) -> Floats:
    """Absolute value of `error`."""
    return np.abs(error(forecast, observed))


def percentage_error(forecast: Floats, observed: Floats) -> Floats:
    """`absolute_error` in % of the observation, of values (..., variables); its mean is the MAPE.

    NaN where a percentage means nothing: for temperature, because 0 °C is not an absence of heat and the percentage
    would depend on the unit, and for observations below `PERCENTAGE_MIN`, where a small error is a large share.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(observed >= PERCENTAGE_MIN, 100 * absolute_error(forecast, observed) / observed, np.nan)


def mean(values: Floats, where: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float64]:
    """Mean of the finite values over the first axis; NaN where there are none.

    Args:
        where: use only these values; same shape as `values`.
    """
    known = np.isfinite(values) if where is None else np.isfinite(values) & where
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def lead_mean(values: Floats, leads: Sequence[int] = SKILL_LEADS) -> Floats:
    """Mean over some leads (hours), of values (..., leads, variables)."""
    return np.asarray(values[..., np.array(leads) - 1, :].mean(axis=-2))


def skill(mae: Score, baseline_mae: Score) -> Score:
    """1 - MAE / MAE of the baseline: 1 is perfect, 0 as good as the baseline, negative worse."""
    return 1 - mae / baseline_mae


def mean_skill(mae: Floats, baseline_mae: Floats, leads: Sequence[int] = SKILL_LEADS) -> Floats:
    """Mean of `skill` over some leads (hours), of errors (..., leads, variables)."""
    return lead_mean(skill(mae, baseline_mae), leads)


def inside(observed: Floats, lower: Floats, upper: Floats, tolerance: float = 0.0) -> npt.NDArray[np.float64]:
    """1 where the observation lies within the interval, bounds included, 0 where not; its mean is the coverage.

    Args:
        tolerance: distance beyond a bound that still counts as inside, for rounded bounds.
    """
    known = np.isfinite(observed) & np.isfinite(lower) & np.isfinite(upper)
    hit = (observed >= lower - tolerance) & (observed <= upper + tolerance)
    return np.where(known, hit, np.nan)


def quantile_loss(observed: Floats, quantile: Floats, probability: float) -> Floats:
    """Quantile (pinball) loss of a forecast quantile: Koenker and Bassett (1978), Econometrica 46."""
    over = observed - quantile
    return np.maximum(probability * over, (probability - 1) * over)


def crps(observed: Floats, quantiles: Mapping[float, Floats]) -> Floats:
    """Continuous ranked probability score of each case, approximated from some quantiles.

    Twice the quantile loss, averaged over the forecast quantiles. Each quantile represents the probabilities closest to
    it. (Gneiting and Ranjan 2011, J. Business & Economic Statistics 29: the CRPS is twice the quantile loss integrated
    over all probabilities.)

    Args:
        quantiles: probability -> forecast quantile.
    """
    probabilities = np.array(sorted(quantiles))
    edges = np.concatenate([[0.0], (probabilities[1:] + probabilities[:-1]) / 2, [1.0]])
    widths = np.diff(edges)
    return np.asarray(
        sum(
            2 * width * quantile_loss(observed, quantiles[p], p) for p, width in zip(probabilities, widths, strict=True)
        )
    )


def interval_crps(
    observed: Floats, values: Floats, lower: Mapping[float, Floats], upper: Mapping[float, Floats]
) -> npt.NDArray[np.float64]:
    """`crps` of forecasts whose values are medians, with central intervals.

    Args:
        lower, upper: level -> bounds.
    """
    quantiles = {0.5: values}
    for level in lower:
        quantiles[(1 - level) / 2], quantiles[(1 + level) / 2] = lower[level], upper[level]
    return crps(observed, quantiles)


def block_index(hours: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number of the block of `BLOCK_HOURS` that contains each hour, counted from 0 without gaps."""
    return np.unique(hours // BLOCK_HOURS, return_inverse=True)[1]
