"""Probabilities from the value and the intervals of a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from statistics import NormalDist

_NORMAL = NormalDist()
_normal_score = lru_cache(maxsize=100)(_NORMAL.inv_cdf)
"""Cached, because the levels of the intervals are always the same."""


def probability_below(quantiles: Mapping[float, float], threshold: float) -> float:
    """Probability that the value is less than a threshold.

    The normal scores of the probabilities are interpolated linearly between the quantiles, and extrapolated beyond
    them: exact for a normal distribution, and skewed where the intervals are. Equal quantiles, such as those of a wind
    that cannot be negative, are a step: nothing lies beyond the bound.

    Args:
        quantiles: probability -> value, at least two. A quantile that is less than that of a smaller probability
            counts as equal to it.
    """
    probabilities = sorted(quantiles)
    scores = [_normal_score(probability) for probability in probabilities]
    values = list(accumulate((quantiles[probability] for probability in probabilities), max))
    below = sum(value < threshold for value in values)
    left = min(max(below - 1, 0), len(values) - 2)
    width = values[left + 1] - values[left]
    if width == 0:  # before the first or after the last quantile, at a bound
        return 0.0 if below == 0 else 1.0
    position = (threshold - values[left]) / width
    return _NORMAL.cdf(scores[left] + position * (scores[left + 1] - scores[left]))


def probability_above(quantiles: Mapping[float, float], threshold: float) -> float:
    """Probability that the value is greater than a threshold; see `probability_below`."""
    return probability_below({1 - probability: -value for probability, value in quantiles.items()}, -threshold)
