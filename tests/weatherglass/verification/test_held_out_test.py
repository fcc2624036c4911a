"""Better beyond chance: against SciPy's paired test, and on made-up errors whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from weatherglass.verification.held_out_test import CONFIDENCE, MIN_BLOCKS, of_blocks

RNG = np.random.default_rng(5)
BLOCKS = np.repeat(np.arange(40), 60)


def errors(better_by: float, weather: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Of a new and an old forecaster: each block of days has its own weather, which favours one of them by chance."""
    old = np.abs(RNG.normal(0.6, 0.2, len(BLOCKS)))
    favour = np.repeat(RNG.normal(0, weather, 40), 60)
    return old - better_by + favour + RNG.normal(0, 0.05, len(BLOCKS)), old


@pytest.mark.parametrize("better_by", [0.0, 0.05, 0.3, -0.3])
def test_the_same_answer_as_a_paired_t_test_on_the_blocks(better_by: float) -> None:
    new, old = errors(better_by)
    means = [(old - new)[block == BLOCKS].mean() for block in range(40)]
    result = of_blocks(BLOCKS, new, old)
    assert result.better == (stats.ttest_1samp(means, 0, alternative="greater").pvalue < 1 - CONFIDENCE)
    assert result.worse == (stats.ttest_1samp(means, 0, alternative="less").pvalue < 1 - CONFIDENCE)
    assert result.gain == pytest.approx(np.mean(means))
    assert (result.new, result.old) == pytest.approx((new.mean(), old.mean()))


def test_weather_that_lasts_is_not_taken_for_skill() -> None:
    """With no true difference, one in twenty is called better; counting every hour, it would be nearly one in two."""
    called = [of_blocks(BLOCKS, *errors(0.0)).better for _ in range(300)]
    assert np.mean(called) < 0.1
    hourly = [stats.ttest_rel(*errors(0.0), alternative="less").pvalue < 0.05 for _ in range(100)]
    assert np.mean(hourly) > 0.25


def test_the_same_forecaster_is_neither_better_nor_worse() -> None:
    old = errors(0.0)[1]
    result = of_blocks(BLOCKS, old, old)
    assert not result.better
    assert not result.worse


def test_a_few_days_prove_nothing() -> None:
    block = np.repeat(np.arange(MIN_BLOCKS - 1), 50)
    old = np.ones(len(block))
    assert not of_blocks(block, old * 0.5, old).better
    assert not of_blocks(block[:50], old[:50] * 0.5, old[:50]).better
