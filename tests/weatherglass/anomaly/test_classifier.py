from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly import classifier
from weatherglass.anomaly.episodes import WEEK, find_episodes
from weatherglass.anomaly.features import NAMES

RNG = np.random.default_rng(4)
SCORES = RNG.random((5, 8 * WEEK, 4)).astype(np.float32) ** 3
STATION_WEEKS = 5 * 8
NO_FLAGS = np.zeros(SCORES.shape, bool)


def episodes(flagged: np.ndarray) -> int:
    return len(find_episodes(flagged[..., None]))


@pytest.mark.parametrize("budget", [0.1, 0.5, 1.0])
def test_limits_meet_the_budget_and_use_it(budget: float) -> None:
    limits = classifier.fit_limits(SCORES, NO_FLAGS, budget)
    for v in range(4):
        alarms = episodes(SCORES[..., v] > limits[v]) / STATION_WEEKS
        assert budget / 3 <= alarms <= budget


@pytest.mark.parametrize("budget", [0.2, 0.5])
def test_a_limit_is_the_lowest_candidate_that_meets_the_budget(budget: float) -> None:
    limits = classifier.fit_limits(SCORES, NO_FLAGS, budget)
    for v in range(4):
        scores = SCORES[..., v].astype(float)
        candidates = sorted({float(np.quantile(scores, 1 - share)) for share in np.geomspace(2e-5, 0.05, 60)})
        position = int(np.argmin(np.abs(np.array(candidates) - limits[v])))
        assert candidates[position] == pytest.approx(limits[v])
        assert episodes(SCORES[..., v] > candidates[position]) <= budget * STATION_WEEKS
        assert episodes(SCORES[..., v] > candidates[position - 1]) > budget * STATION_WEEKS


def single_peaks(rule_episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Twenty weeks with a peak every 20 hours, each higher than the one before, and rule flags apart from them."""
    hours = 20 * WEEK
    scores = np.zeros((1, hours, 4), np.float32)
    peaks = np.arange(10, hours, 20)
    scores[0, peaks, 0] = np.linspace(0.1, 0.9, len(peaks))
    rule_flags = np.zeros(scores.shape, bool)
    rule_flags[0, np.arange(rule_episodes) * 60, 0] = True
    return scores, rule_flags


@pytest.mark.parametrize(
    ("rule_episodes", "allowed"),
    [
        (0, 20),  # the budget of one per week
        (15, 20),
        (18, 20),
        (19, 21),  # above 0.9 of the budget: the rules and a tenth of the budget
        (30, 32),
        (50, 52),
    ],
)
def test_rules_use_up_the_budget_but_leave_a_tenth_of_it(rule_episodes: int, allowed: int) -> None:
    scores, rule_flags = single_peaks(rule_episodes)
    [limit, *_] = classifier.fit_limits(scores, rule_flags, 1.0)
    candidates = np.unique(np.quantile(scores[..., 0], 1 - np.geomspace(2e-5, 0.05, 60)))
    counts = {float(one): episodes(rule_flags[..., 0] | (scores[..., 0] > one)) for one in candidates}
    assert limit == min(one for one, count in counts.items() if count <= allowed)
    assert any(allowed - 2 <= count <= allowed for count in counts.values())


def test_a_limit_so_low_that_all_episodes_merge_into_one_does_not_meet_the_budget() -> None:
    """150 hours with scores of 0.5, every thirtieth of them 0.9: five episodes above 0.5, a single one above 0."""
    scores = np.zeros((1, 20 * WEEK, 4), np.float32)
    scores[0, 1000:1150, 0] = 0.5
    scores[0, 1000:1150:30, 0] = 0.9
    counts = {limit: episodes(scores[..., 0] > limit) for limit in (0.0, 0.5, 0.9)}
    assert counts == {0.0: 1, 0.5: 5, 0.9: 0}
    [limit, *_] = classifier.fit_limits(scores, np.zeros(scores.shape, bool), 0.1)  # two episodes in twenty weeks
    assert limit == pytest.approx(0.9)


def test_rule_flags_of_one_variable_do_not_change_the_limits_of_others() -> None:
    rule_flags = NO_FLAGS.copy()
    rule_flags[:, 100::60, 2] = True
    without, with_rules = (classifier.fit_limits(SCORES, flags, 0.5) for flags in (NO_FLAGS, rule_flags))
    assert with_rules[2] > without[2]
    np.testing.assert_array_equal(with_rules[[0, 1, 3]], without[[0, 1, 3]])


def test_the_limit_of_a_variable_without_values_is_1() -> None:
    scores = SCORES.copy()
    scores[..., 1] = np.nan
    assert classifier.fit_limits(scores, NO_FLAGS, 0.5)[1] == 1


def test_only_rows_with_an_anomaly_are_scored() -> None:
    rows = RNG.normal(size=(400, len(NAMES))).astype(np.float32)
    rows[:, NAMES.index("variable")] = RNG.integers(0, 4, 400)
    faulty = rows[:, NAMES.index("anomaly")] > 1
    trained = classifier.fit(rows, faulty, np.ones(400, np.float32), trees=20, seed=0)
    rows[7, NAMES.index("anomaly")] = np.nan
    scores = trained.score(rows.reshape(20, 20, -1))
    assert scores.shape == (20, 20)
    assert np.flatnonzero(np.isnan(scores.reshape(-1))).tolist() == [7]
    known = np.delete(np.arange(400), 7)
    assert scores.reshape(-1)[known][faulty[known]].mean() > 0.5 > scores.reshape(-1)[known][~faulty[known]].mean()
