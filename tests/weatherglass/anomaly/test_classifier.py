from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly import classifier
from weatherglass.anomaly.episodes import WEEK, find_episodes

RNG = np.random.default_rng(4)
SCORES = RNG.random((5, 8 * WEEK, 4)).astype(np.float32) ** 3
WEEKS = 5 * 8


@pytest.mark.parametrize("budget", [0.1, 0.5, 1.0])
def test_limits_keep_to_the_budget_and_use_it(budget: float) -> None:
    nothing = np.zeros(SCORES.shape, bool)
    limits = classifier.limits(SCORES, nothing, budget)
    for v in range(4):
        alarms = len(find_episodes((SCORES[..., v] > limits[v])[..., None])) / WEEKS
        assert 0 < alarms <= budget
        assert alarms >= budget / 3


def test_hard_flags_use_up_the_budget() -> None:
    hard = np.zeros(SCORES.shape, bool)
    hard[:, 100::60, 2] = True
    without, beside = classifier.limits(SCORES, np.zeros_like(hard), 0.5), classifier.limits(SCORES, hard, 0.5)
    assert beside[2] > without[2]
    np.testing.assert_array_equal(beside[[0, 1, 3]], without[[0, 1, 3]])


def test_a_variable_without_values_is_never_flagged() -> None:
    scores = SCORES.copy()
    scores[..., 1] = np.nan
    assert classifier.limits(scores, np.zeros(scores.shape, bool), 0.5)[1] == 1
