"""The search is bounded, starts from the size itself, and draws the same sizes for the same seed."""

from __future__ import annotations

from ray_jobs.training import search
from weatherglass.forecast.presets import FULL


def test_trials_are_bounded_and_the_same_for_a_seed() -> None:
    tried = [search.trial(FULL, 1, number) for number in range(40)]
    assert tried[0] == FULL
    assert tried == [search.trial(FULL, 1, number) for number in range(40)]
    assert tried[1:] != [search.trial(FULL, 2, number) for number in range(1, 40)]
    assert len(set(tried)) > 30
    for size in tried[1:]:
        assert size.leaves in search.LEAVES
        assert search.RATES[0] <= size.learning_rate <= search.RATES[1]
        assert search.TREES[0] * FULL.trees - 1 <= size.trees <= search.TREES[1] * FULL.trees + 1
        assert (size.cases, size.calibration_cases) == (FULL.cases, FULL.calibration_cases)
