"""The classifier behind the learned score: gradient-boosted trees on the results of all checks.

It is trained on injected faults. Its limits, one per variable, meet a budget of false alarms per station, variable and
week on recent hours without injected faults; real faults in these hours count against the budget too.
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
    """Trees on `features.NAMES`; the score is the probability of a fault in the mixture of the training data."""

    booster: lightgbm.Booster

    def score(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the scores (...,) of features (..., len(features.NAMES)); NaN where the value is missing."""
        flat = features.reshape(-1, features.shape[-1])
        scores = np.full(len(flat), np.nan, np.float32)
        known = np.flatnonzero(np.isfinite(flat[:, NAMES.index("anomaly")]))
        for begin in range(0, len(known), PREDICT_ROWS):
            chunk = known[begin : begin + PREDICT_ROWS]
            scores[chunk] = self.booster.predict(flat[chunk], num_threads=1)
        return scores.reshape(features.shape[:-1])


def fit(
    rows: npt.NDArray[np.float32], faulty: npt.NDArray[np.bool_], weight: npt.NDArray[np.float32], trees: int, seed: int
) -> FaultClassifier:
    """Fit on rows (n, len(features.NAMES)), and whether each is inside a fault."""
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


def fit_limits(
    scores: npt.NDArray[np.float32], rule_flags: npt.NDArray[np.bool_], budget: float
) -> npt.NDArray[np.float64]:
    """Return the lowest limits (variables,) for which hard and soft flags together meet a budget.

    Args:
        scores: (stations, hours, variables) of recent hours; NaN where there was no value.
        rule_flags: the hard flags of the same hours.
        budget: episodes per station, variable and week. If the rules alone exceed it, soft flags may add a tenth of
            the budget.
    """
    fitted = np.ones(len(VARIABLES))
    for v in range(len(VARIABLES)):
        of_variable = scores[..., v]
        known = of_variable[np.isfinite(of_variable)]
        weeks = len(known) / WEEK
        if weeks == 0:
            continue
        by_rules = len(find_episodes(rule_flags[..., v : v + 1]))
        allowed = max(budget * weeks, by_rules + 0.1 * budget * weeks)
        candidates = np.unique(np.quantile(known, 1 - np.geomspace(2e-5, 0.05, CANDIDATE_LIMITS)))
        for limit in candidates[::-1]:
            if len(find_episodes((rule_flags[..., v] | (of_variable > limit))[..., None])) > allowed:
                break
            fitted[v] = limit
    return fitted
