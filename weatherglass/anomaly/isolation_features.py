"""How odd the state of a station is: an isolation forest on anomalies and their changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import isolation_forest
from weatherglass.anomaly.isolation_forest import IsolationForest
from weatherglass.records import VARIABLES

HOURS_AGO = (1, 3)
MEAN_HOURS = 24
MAX_CASES = 40_000
MIN_CASES = 1000


class TooFewHours(ValueError):
    """Too few complete hours to learn what is usual."""


def states(anomalies: npt.NDArray[np.float32], spread: npt.NDArray, first: int) -> npt.NDArray[np.float32]:
    """States (n, hours - first, 16) of stations from anomalies (n, hours, 4), in units of each station's spread.

    Each variable's anomaly, its change in 1 and 3 hours, and its distance from the mean of the 24 hours before.
    """
    scaled = (anomalies / spread[:, None]).astype(np.float32)

    def ago(hours: int) -> npt.NDArray[np.float32]:
        blank = np.full_like(scaled[:, :hours], np.nan)
        return np.concatenate([blank, scaled[:, :-hours]], axis=1)[:, : scaled.shape[1]]

    past = np.concatenate([np.full_like(scaled[:, :1], np.nan), scaled[:, :-1]], axis=1)
    known = np.isfinite(past)
    total, count = np.cumsum(np.where(known, past, 0), axis=1, dtype=np.float64), np.cumsum(known, axis=1)
    total[:, MEAN_HOURS:] -= total[:, :-MEAN_HOURS].copy()
    count[:, MEAN_HOURS:] -= count[:, :-MEAN_HOURS].copy()
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    blocks = [scaled, *(scaled - ago(hours) for hours in HOURS_AGO), scaled - mean]
    return np.concatenate(blocks, axis=2, dtype=np.float32)[:, first:]


def scores(
    anomalies: npt.NDArray[np.float32], spread: npt.NDArray, forest: IsolationForest, first: int
) -> npt.NDArray[np.float32]:
    """Scores (n, hours - first) of the forest; NaN where no variable is known. A missing variable counts as usual."""
    seen = states(anomalies, spread, first)
    made = np.full(seen.shape[:2], np.nan, np.float32)
    whole = np.isfinite(seen[..., : len(VARIABLES)]).any(axis=2)
    if whole.any():
        made[whole] = forest.score(np.nan_to_num(seen[whole]))
    return made


def fit_forest(anomalies: npt.NDArray[np.float32], spread: npt.NDArray, seed: int) -> IsolationForest:
    """Learn from states of history.

    Raises:
        TooFewHours: fewer than `MIN_CASES` hours have all four variables.
    """
    seen = states(anomalies, spread, 0)
    whole = seen[np.isfinite(seen[..., : len(VARIABLES)]).all(axis=2)]
    if len(whole) < MIN_CASES:
        raise TooFewHours(
            f"the history holds {len(whole)} hours with all of {', '.join(VARIABLES)}; the anomaly detector "
            f"needs {MIN_CASES}"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(whole), min(MAX_CASES, len(whole)), replace=False)
    return isolation_forest.fit(np.nan_to_num(whole[chosen]), seed)
