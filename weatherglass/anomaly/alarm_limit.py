"""The limit of a score that meets a budget of false alarms, from the series that is checked.

The largest scores of blocks of the series follow approximately a Gumbel distribution (block maxima: Coles 2001, An
Introduction to Statistical Modeling of Extreme Values, chapter 3). It is fitted to quantiles, because the largest
scores may be faults, and extrapolated to the number of false alarms that the budget allows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TAIL_SHARE, MIN_TAIL = 0.05, 10
"""Share and number of the blocks above the upper quantile of the fit; above the lower one, there are four
times as many."""
ROBUST = (0.25, 0.5)
"""Quantiles that hold although half of the blocks have faults, as in a series of a few hours."""
HIGHEST_RATIO = 3.0
"""A limit this many times the robust one shows that the usual quantiles are faults: weather has no such tails."""

CONSTANT = 0.5
"""A block with lower scores is constant, as calm wind and saturated humidity are for days: it says nothing about the
largest scores of the others, so it is left out if there are at least `MIN_TAIL` others."""


def fit(score: Array, allowed: float, block: int) -> float:
    """Return the score, at least 1, that ordinary blocks exceed `allowed` times; infinite without any score.

    Args:
        score: (moments,) in usual or in smallest differences, whichever is larger; NaN where unknown.
        allowed: number of false alarms in the whole series.
        block: moments of a block; scores of a block count as one alarm.
    """
    maxima = block_maxima(score, block)
    if not len(maxima):
        return float("inf")
    departing = maxima[maxima > CONSTANT]
    if len(departing) >= MIN_TAIL:
        maxima = departing
    tail = min(max(TAIL_SHARE, MIN_TAIL / len(maxima)), 0.15)
    usual = _gumbel(maxima, allowed, (1 - 4 * tail, 1 - tail))
    return max(1.0, min(usual, HIGHEST_RATIO * _gumbel(maxima, allowed, ROBUST)))


def block_maxima(score: Array, block: int) -> Array:
    """Return the largest score of each block that has one."""
    padded = np.concatenate([score, np.full(-len(score) % block, np.nan)])
    filled = np.where(np.isfinite(padded), padded, -np.inf).reshape(-1, block).max(axis=1)
    return np.asarray(filled[np.isfinite(filled)])


def _gumbel(maxima: Array, allowed: float, quantiles: tuple[float, float]) -> float:
    low, high = np.quantile(maxima, quantiles)
    reduced_low, reduced_high = (-np.log(-np.log(quantile)) for quantile in quantiles)
    scale = float(high - low) / (reduced_high - reduced_low)
    share = min(max(allowed, 1e-6) / len(maxima), 0.5)
    return float(high + scale * (-np.log(-np.log1p(-share)) - reduced_high))
