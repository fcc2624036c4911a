"""Weighted conformal quantiles: interval half-widths with guaranteed coverage, also if recent errors count more.

Barber, Candès, Ramdas, Tibshirani (2023), Conformal prediction beyond exchangeability, Annals of Statistics 51.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.forecaster import LEVELS


def quantiles(scores: npt.NDArray, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weighted quantiles (levels,) of n scores at `LEVELS`.

    The finite-sample correction adds a new case with the largest weight and an infinite score; a quantile that falls
    on it is the largest score. With equal weights, the quantile is the ceil((n + 1) level)-th smallest score.

    Raises:
        ValueError: there are no scores.
    """
    if len(scores) == 0:
        raise ValueError("quantiles need at least one score")
    order = np.argsort(scores)
    share = np.cumsum(weights[order]) / (weights.sum() + weights.max())
    rank = np.minimum(np.searchsorted(share, np.array(LEVELS) - 1e-9), len(scores) - 1)
    return np.asarray(scores[order][rank], dtype=np.float64)
