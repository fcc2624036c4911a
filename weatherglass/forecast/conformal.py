"""Quantiles of errors that hold the share of the truth that they claim, also where the newest errors tell most.

Barber, Candès, Ramdas, Tibshirani (2023), Conformal prediction beyond exchangeability, Annals of Statistics 51.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.forecaster import LEVELS


def quantiles(scores: npt.NDArray, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weighted quantiles (levels,) of n scores, a new case counting as much as the heaviest; the largest at most.

    With equal weights the ceil((n + 1) level)-th smallest.

    Raises:
        ValueError: there are no scores.
    """
    if len(scores) == 0:
        raise ValueError("there are no errors to take quantiles of")
    order = np.argsort(scores)
    share = np.cumsum(weights[order]) / (weights.sum() + weights.max())
    rank = np.minimum(np.searchsorted(share, np.array(LEVELS) - 1e-9), len(scores) - 1)
    return np.asarray(scores[order][rank], dtype=np.float64)
