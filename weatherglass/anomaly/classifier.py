"""The learnt score: a small supervised model over what all checks say, trained on injected faults.

Its limits, one for each variable, follow a budget: so many false alarms a station, variable and week on recent hours
that nobody has put faults into. What is wrong in them by nature counts against the budget, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.episodes import WEEK, find_episodes
from weatherglass.anomaly.features import NAMES
from weatherglass.records import VARIABLES

CANDIDATE_LIMITS = 60
PREDICT_ROWS = 200_000


@dataclass(frozen=True)
class FaultClassifier:
    """Trees over `features.NAMES`; the answer is the chance of a fault in the mix that it was trained on."""

    booster: lightgbm.Booster

    def score(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores (...,) of features (..., len(features.NAMES)), NaN where the value is missing."""
        flat = features.reshape(-1, features.shape[-1])
        made = np.full(len(flat), np.nan, np.float32)
        known = np.flatnonzero(np.isfinite(flat[:, NAMES.index("anomaly")]))
        for begin in range(0, len(known), PREDICT_ROWS):
            part = known[begin : begin + PREDICT_ROWS]
            made[part] = self.booster.predict(flat[part], num_threads=1)
        return made.reshape(features.shape[:-1])


def fit(
    rows: npt.NDArray[np.float32], faulty: npt.NDArray[np.bool_], weight: npt.NDArray[np.float32], trees: int, seed: int
) -> FaultClassifier:
    """Fit on rows (n, len(features.NAMES)) and whether each lies in a fault."""
    data = lightgbm.Dataset(
        rows,
        faulty.astype(np.float32),
        weight=weight,
        feature_name=list(NAMES),
        categorical_feature=["variable"],
    )
    params = {
        "objective": "binary",
        "num_leaves": 63,
        "learning_rate": 0.08,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "max_bin": 127,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    return FaultClassifier(lightgbm.train(params, data, num_boost_round=trees))


def limits(scores: npt.NDArray[np.float32], hard: npt.NDArray[np.bool_], budget: float) -> npt.NDArray[np.float64]:
    """(variables,) the lowest limits that keep hard and soft flags together within a budget.

    Args:
        scores: (stations, hours, variables) of recent hours, NaN where there was no value.
        hard: the flags of rules on the same hours.
        budget: flagged events a station, variable and week. Where rules alone exceed it, soft flags may add a tenth.
    """
    made = np.ones(len(VARIABLES))
    for v in range(len(VARIABLES)):
        mine = scores[..., v]
        weeks = np.isfinite(mine).sum() / WEEK
        if weeks == 0:
            continue
        alone = len(find_episodes(hard[..., v : v + 1]))
        allowed = max(budget * weeks, alone + 0.1 * budget * weeks)
        candidates = np.unique(np.quantile(mine[np.isfinite(mine)], 1 - np.geomspace(2e-5, 0.05, CANDIDATE_LIMITS)))
        for limit in candidates[::-1]:
            if len(find_episodes((hard[..., v] | (mine > limit))[..., None])) > allowed:
                break
            made[v] = limit
    return made
