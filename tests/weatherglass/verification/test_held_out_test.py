"""Test on held-out hours: against SciPy's paired test, and on synthetic errors with a known difference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from weatherglass.verification.held_out_test import CONFIDENCE, MIN_BLOCKS, from_block_errors

RNG = np.random.default_rng(5)
BLOCKS = np.repeat(np.arange(40), 60)


def errors(gain: float, weather: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Errors of a new and an old forecaster; the weather of each block favours one of them by chance."""
    old = np.abs(RNG.normal(0.6, 0.2, len(BLOCKS)))
    favour = np.repeat(RNG.normal(0, weather, 40), 60)
    return old - gain + favour + RNG.normal(0, 0.05, len(BLOCKS)), old


@pytest.mark.parametrize("gain", [0.0, 0.05, 0.3, -0.3])
def test_the_result_is_that_of_a_one_sided_t_test_of_the_block_means(gain: float) -> None:
    new, old = errors(gain)
    means = [(old - new)[block == BLOCKS].mean() for block in range(40)]
    result = from_block_errors(BLOCKS, new, old)
    expected = stats.ttest_1samp(means, 0, alternative="greater")
    assert result.blocks == 40
    assert result.gain == pytest.approx(np.mean(means))
    assert result.lower_bound == pytest.approx(expected.confidence_interval(CONFIDENCE).low)
    assert result.better == (expected.pvalue < 1 - CONFIDENCE)
    assert result.worse == (stats.ttest_1samp(means, 0, alternative="less").pvalue < 1 - CONFIDENCE)
    assert (result.new_error, result.old_error) == pytest.approx((new.mean(), old.mean()))


def test_gain_and_lower_bound_of_five_blocks_computed_by_hand() -> None:
    """Block means 1 to 5: mean 3, standard error sqrt(2.5 / 5), t quantile 2.131847 with 4 degrees of freedom."""
    old = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 2)
    result = from_block_errors(np.repeat(np.arange(5), 2), np.zeros(10), old)
    assert result.gain == pytest.approx(3.0)
    assert result.lower_bound == pytest.approx(3 - 2.131847 * np.sqrt(0.5), abs=1e-6)


def test_correlated_errors_are_called_better_at_the_nominal_rate() -> None:
    """Without a true difference 5 % are called better; a test that counts every hour exceeds 25 %."""
    better = [from_block_errors(BLOCKS, *errors(0.0)).better for _ in range(300)]
    assert np.mean(better) < 0.1
    hourly = [stats.ttest_rel(*errors(0.0), alternative="less").pvalue < 0.05 for _ in range(100)]
    assert np.mean(hourly) > 0.25


def test_the_same_forecaster_is_neither_better_nor_worse() -> None:
    old = errors(0.0)[1]
    result = from_block_errors(BLOCKS, old, old)
    assert not result.better
    assert not result.worse


def test_fewer_blocks_than_the_minimum_are_not_significant() -> None:
    block = np.repeat(np.arange(MIN_BLOCKS - 1), 50)
    old = np.linspace(0.9, 1.1, len(block))
    for count in (len(block), 50):
        result = from_block_errors(block[:count], old[:count] * 0.5, old[:count])
        assert not result.better
        assert not from_block_errors(block[:count], old[:count] * 2, old[:count]).worse
