from __future__ import annotations

import pytest

from ray_jobs.training import search
from weatherglass.forecast.fit import FittedTrees
from weatherglass.forecast.presets import FULL


def test_sizes_are_reproducible_within_bounds_and_start_with_the_planned_size() -> None:
    sizes = [search.trial_size(FULL, 1, number) for number in range(40)]
    assert sizes[0] == FULL
    assert sizes == [search.trial_size(FULL, 1, number) for number in range(40)]
    assert sizes[1:] != [search.trial_size(FULL, 2, number) for number in range(1, 40)]
    assert len(set(sizes)) > 30
    for size in sizes[1:]:
        assert size.leaves in search.LEAVES
        assert search.LEARNING_RATES[0] <= size.learning_rate <= search.LEARNING_RATES[1]
        assert search.TREE_FACTORS[0] * FULL.trees - 1 <= size.trees <= search.TREE_FACTORS[1] * FULL.trees + 1
        assert (size.cases, size.calibration_cases) == (FULL.cases, FULL.calibration_cases)


def test_the_relative_error_is_the_mean_of_the_ratios() -> None:
    probes = [FittedTrees(None, 1.0, 2.0), FittedTrees(None, 3.0, 4.0)]  # type: ignore[arg-type]
    assert search.relative_error(probes) == pytest.approx(0.625)
