from __future__ import annotations

import math

import numpy as np
import pytest

from weatherglass.forecast.conformal_quantiles import quantiles
from weatherglass.forecast.forecaster import LEVELS


@pytest.mark.parametrize("count", [1, 4, 5, 8, 9, 10, 19, 99, 100])
def test_equal_weights_give_the_order_statistic_with_the_finite_sample_correction(count: int) -> None:
    """Of the scores 1 to n in any order: the ceil((n + 1) level)-th smallest, n at most."""
    scores = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))
    expected = [min(math.ceil(round((count + 1) * level, 9)), count) for level in LEVELS]
    np.testing.assert_array_equal(quantiles(scores, np.ones(count)), expected)
    np.testing.assert_array_equal(quantiles(scores, np.full(count, 0.3)), expected)


def test_weights_move_the_quantile_and_the_new_case_has_the_largest_weight() -> None:
    """Weights 1 to 10 sum to 55, with the new case's 10 to 65: 0.8 x 65 = 52 is reached by the scores 1 to 10.

    With the weights reversed (10 to 1), the cumulative weights are 10, 19, 27, 34, 40, 45, 49, 52, 54, 55; 52 is
    reached by the eighth score, 0.9 x 65 = 58.5 by none.
    """
    scores, weights = np.arange(1.0, 11.0), np.arange(1.0, 11.0)
    np.testing.assert_array_equal(quantiles(scores, weights), [10, 10])
    np.testing.assert_array_equal(quantiles(scores, weights[::-1].copy()), [8, 10])
    np.testing.assert_array_equal(quantiles(scores[::-1].copy(), weights), [8, 10])


def test_no_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="score"):
        quantiles(np.array([]), np.array([]))


def test_intervals_of_exchangeable_errors_have_the_coverage_of_their_level() -> None:
    rng = np.random.default_rng(11)
    inside = []
    for _ in range(400):
        scores = np.abs(rng.standard_t(3, size=200))
        inside.append(np.abs(rng.standard_t(3, size=50))[:, None] <= quantiles(scores, np.ones(200)))
    share = np.concatenate(inside).mean(axis=0)
    # The coverage of a single draw of 200 scores varies by about 0.03, the mean of 400 draws by 0.0015.
    np.testing.assert_allclose(share, LEVELS, atol=0.01)
    assert (share >= np.array(LEVELS) - 0.006).all()


def test_weights_by_age_improve_the_coverage_after_errors_have_doubled() -> None:
    rng = np.random.default_rng(12)
    age = np.linspace(4, 0, 4000)
    scores = np.abs(rng.standard_normal(4000)) * np.where(age < 1, 2.0, 1.0)
    later = 2.0 * np.abs(rng.standard_normal(20_000))
    even, weighted = (later[:, None] <= quantiles(scores, w) for w in (np.ones(4000), 0.5 ** (age / 0.5)))
    assert (np.abs(weighted.mean(axis=0) - LEVELS) < 0.5 * np.abs(even.mean(axis=0) - LEVELS)).all()
