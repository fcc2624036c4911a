"""The regression against an independent solution, and its behaviour at the limits."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from weatherglass.guidance.error_regression import fit


def cases(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    features = rng.normal([3, 0, 1], [1, 5, 0.1], (n, 3))
    target = features @ [1.5, -0.4, 8.0] + 2 + rng.standard_t(2, n)
    return features, target


def test_it_is_close_to_the_median_regression_of_statsmodels() -> None:
    features, target = cases()
    expected = sm.QuantReg(target, sm.add_constant(features)).fit(q=0.5)
    new = np.random.default_rng(3).normal([3, 0, 1], [1, 5, 0.1], (50, 3))
    np.testing.assert_allclose(
        fit(features, target, 4000).predict(new), expected.predict(sm.add_constant(new)), atol=0.25
    )


def test_errors_of_few_days_are_trusted_less() -> None:
    features, target = cases(600)
    spread = [fit(features, target, days).predict(features).std() for days in (2, 20, 600)]
    assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize("target", [np.zeros(50), np.full(50, 1e-12)])
def test_constant_features_and_errors_of_zero_are_not_a_problem(target: np.ndarray) -> None:
    model = fit(np.ones((50, 2)), target, 50)
    np.testing.assert_allclose(model.predict(np.ones((3, 2))), 0, atol=1e-9)


def test_the_units_of_the_features_do_not_matter() -> None:
    features, target = cases(500)
    scaled = features * [1000, 0.001, 1] + [5, 5, 5]
    np.testing.assert_allclose(
        fit(features, target, 500).predict(features), fit(scaled, target, 500).predict(scaled), rtol=1e-6, atol=1e-6
    )
