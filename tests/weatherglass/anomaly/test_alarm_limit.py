"""Limits that meet a budget of false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly import alarm_limit

BLOCK = 10


def scores(blocks: int, seed: int = 0) -> np.ndarray:
    return np.abs(np.random.default_rng(seed).normal(size=blocks * BLOCK))


@pytest.mark.parametrize("allowed", [1, 5, 30])
def test_ordinary_scores_exceed_the_limit_about_as_often_as_allowed(allowed: int) -> None:
    exceeded = [
        (alarm_limit.block_maxima(score, BLOCK) > alarm_limit.fit(score, allowed, BLOCK)).sum()
        for score in (scores(400, seed) for seed in range(40))
    ]
    assert allowed / 3 < np.mean(exceeded) < 2 * allowed


def test_faults_in_a_quarter_of_a_short_series_do_not_hide_themselves() -> None:
    score = scores(80)
    score[: 20 * BLOCK] += 60.0
    assert alarm_limit.fit(score, 0.01, BLOCK) < 50.0


@pytest.mark.parametrize("zeros", [0.5, 0.8, 0.95])
def test_blocks_without_any_departure_do_not_lower_the_limit(zeros: float) -> None:
    score = scores(400).reshape(-1, BLOCK)
    score[np.random.default_rng(1).random(len(score)) < zeros] = 0.0
    exceeded = (alarm_limit.block_maxima(score.ravel(), BLOCK) > alarm_limit.fit(score.ravel(), 1, BLOCK)).sum()
    assert exceeded <= 5


def test_a_few_departures_of_a_constant_series_do_not_set_the_limit() -> None:
    score = np.zeros(100 * BLOCK)
    score[:50] = 8.0
    assert alarm_limit.fit(score, 0.1, BLOCK) < 8.0


def test_a_smaller_budget_gives_a_higher_limit() -> None:
    limits = [alarm_limit.fit(scores(200), allowed, BLOCK) for allowed in (10, 1, 0.1, 0)]
    assert limits == sorted(limits)
    assert np.isfinite(limits).all()


def test_a_series_without_scores_has_no_limit() -> None:
    assert alarm_limit.fit(np.full(50, np.nan), 1.0, BLOCK) == float("inf")


def test_block_maxima_leave_out_blocks_without_scores() -> None:
    score = np.array([1.0, np.nan, 3.0, np.nan, np.nan, np.nan, 2.0])
    assert alarm_limit.block_maxima(score, 3).tolist() == [3.0, 2.0]
