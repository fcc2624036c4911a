from __future__ import annotations

from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weatherglass.weather_alerts.probability import probability_above, probability_below

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
numbers = st.floats(-500, 500)


@given(mean=numbers, deviation=st.floats(0.01, 50), score=st.floats(-4, 4))
def test_of_a_normal_forecast_the_probability_is_exact(mean: float, deviation: float, score: float) -> None:
    truth = NormalDist(mean, deviation)
    quantiles = {level: truth.inv_cdf(level) for level in LEVELS}
    threshold = mean + score * deviation
    assert probability_below(quantiles, threshold) == pytest.approx(truth.cdf(threshold), abs=1e-6)
    assert probability_above(quantiles, threshold) == pytest.approx(1 - truth.cdf(threshold), abs=1e-6)


@given(values=st.lists(numbers, min_size=5, max_size=5, unique=True))
def test_at_a_quantile_the_probability_is_its_own(values: list[float]) -> None:
    quantiles = dict(zip(LEVELS, sorted(values), strict=True))
    for level, value in quantiles.items():
        assert probability_below(quantiles, value) == pytest.approx(level)
        assert probability_above(quantiles, value) == pytest.approx(1 - level)


@given(
    values=st.lists(st.integers(-3, 3), min_size=5, max_size=5), thresholds=st.lists(numbers, min_size=2, max_size=9)
)
def test_for_any_quantiles_probabilities_are_monotonic_and_consistent(
    values: list[int], thresholds: list[float]
) -> None:
    quantiles = dict(zip(LEVELS, values, strict=True))  # with ties, and in any order
    below = [probability_below(quantiles, threshold) for threshold in sorted(thresholds)]
    above = [probability_above(quantiles, threshold) for threshold in sorted(thresholds)]
    assert below == sorted(below)
    assert above == sorted(above, reverse=True)
    assert all(0 <= one <= 1 for one in (*below, *above))


def test_nothing_is_beyond_a_bound_that_several_quantiles_share() -> None:
    calm = dict(zip(LEVELS, (0.0, 0.0, 1.5, 4.0, 5.0), strict=True))
    assert probability_below(calm, 0.0) == 0
    assert 0.1 < probability_below(calm, 0.5) < 0.5
    saturated = dict(zip(LEVELS, (70, 75, 90, 100, 100), strict=True))
    assert probability_above(saturated, 100) == 0
    assert 0.1 < probability_above(saturated, 99) < 0.5
