"""How unusual the state of a station is: an isolation forest on anomalies and their changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import isolation_forest
from weatherglass.anomaly.isolation_forest import IsolationForest
from weatherglass.records import VARIABLES

CHANGE_HOURS = (1, 3)
MEAN_HOURS = 24
COUNT = (len(CHANGE_HOURS) + 2) * len(VARIABLES)
"""Inputs of the forest."""
MAX_ROWS = 40_000
MIN_ROWS = 1000


class InsufficientHistory(ValueError):
    """Too few hours with all variables for training."""


def compute(anomalies: npt.NDArray[np.float32], spread: npt.NDArray, first: int) -> npt.NDArray[np.float32]:
    """Compute the inputs (n, hours - first, 16) of the forest from anomalies (n, hours, 4) and spread (n, 4).

    In units of the spread: each variable's anomaly, its change over 1 and 3 hours, and its difference from the mean
    of the preceding 24 hours.
    """
    scaled = (anomalies / spread[:, None]).astype(np.float32)

    def lagged(hours: int) -> npt.NDArray[np.float32]:
        missing = np.full_like(scaled[:, :hours], np.nan)
        return np.concatenate([missing, scaled[:, :-hours]], axis=1)[:, : scaled.shape[1]]

    previous = np.concatenate([np.full_like(scaled[:, :1], np.nan), scaled[:, :-1]], axis=1)
    known = np.isfinite(previous)
    total, count = np.cumsum(np.where(known, previous, 0), axis=1, dtype=np.float64), np.cumsum(known, axis=1)
    total[:, MEAN_HOURS:] -= total[:, :-MEAN_HOURS].copy()
    count[:, MEAN_HOURS:] -= count[:, :-MEAN_HOURS].copy()
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    blocks = [scaled, *(scaled - lagged(hours) for hours in CHANGE_HOURS), scaled - mean]
    return np.concatenate(blocks, axis=2, dtype=np.float32)[:, first:]


def isolation_scores(
    anomalies: npt.NDArray[np.float32], spread: npt.NDArray, forest: IsolationForest, first: int
) -> npt.NDArray[np.float32]:
    """Return scores (n, hours - first) of the forest; NaN where no variable is known. Missing inputs count as 0."""
    inputs = compute(anomalies, spread, first)
    result = np.full(inputs.shape[:2], np.nan, np.float32)
    known = np.isfinite(inputs[..., : len(VARIABLES)]).any(axis=2)
    if known.any():
        result[known] = forest.score(np.nan_to_num(inputs[known]))
    return result


def fit_forest(anomalies: npt.NDArray[np.float32], spread: npt.NDArray, seed: int) -> IsolationForest:
    """Fit on anomalies (n, hours, 4) of history.

    Raises:
        InsufficientHistory: fewer than `MIN_ROWS` hours have all four variables.
    """
    inputs = compute(anomalies, spread, 0)
    complete = inputs[np.isfinite(inputs[..., : len(VARIABLES)]).all(axis=2)]
    if len(complete) < MIN_ROWS:
        raise InsufficientHistory(
            f"the history has {len(complete)} hours with all of {', '.join(VARIABLES)}; the anomaly detector "
            f"needs {MIN_ROWS}"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(complete), min(MAX_ROWS, len(complete)), replace=False)
    return isolation_forest.fit(np.nan_to_num(complete[chosen]), seed)
