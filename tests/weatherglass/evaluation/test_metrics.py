"""Metrics of an evaluation, compared with independent implementations of the same scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray
from scores.continuous import interval_score, mae, quantile_score
from sklearn.metrics import mean_absolute_error, mean_pinball_loss

from weatherglass.evaluation import metrics
from weatherglass.evaluation.held_out import BASELINES, HeldOut
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification import scores
from weatherglass.verification.held_out_scores import MODEL

SHAPE = (300, len(LEADS), len(VARIABLES))
SKILL_LEADS = (6, 12, 24)


@pytest.fixture
def held_out() -> HeldOut:
    """Random forecasts with a tenth of the observations missing; the model's errors are half those of the baselines."""
    rng = np.random.default_rng(2)
    observed = rng.normal(size=SHAPE).astype(np.float32)
    forecasts = {name: (observed + rng.normal(size=SHAPE)).astype(np.float32) for name in BASELINES}
    forecasts[MODEL] = (observed + 0.5 * rng.normal(size=SHAPE)).astype(np.float32)
    half = {0.8: 0.5 * 1.2816, 0.9: 0.5 * 1.6449}
    lower = {level: (forecasts[MODEL] - width).astype(np.float32) for level, width in half.items()}
    upper = {level: (forecasts[MODEL] + width).astype(np.float32) for level, width in half.items()}
    observed = np.where(rng.random(SHAPE) < 0.1, np.float32(np.nan), observed)
    base = np.datetime64("2016-12-01T00", "h") + np.arange(SHAPE[0]) * 7
    return HeldOut(("a", "b"), np.arange(SHAPE[0]) % 2, base, observed, forecasts, lower, upper)


def test_the_mean_absolute_error_equals_those_of_scores_and_scikit_learn(held_out: HeldOut) -> None:
    result = metrics.mae(held_out, MODEL)
    forecast, observed = (
        xarray.DataArray(a, dims=["case", "lead", "variable"]) for a in (held_out.forecasts[MODEL], held_out.observed)
    )
    np.testing.assert_allclose(result, mae(forecast, observed, reduce_dims="case"), rtol=1e-5)
    known = np.isfinite(held_out.observed[:, 5, 2])
    expected = mean_absolute_error(held_out.observed[known, 5, 2], held_out.forecasts[MODEL][known, 5, 2])
    assert result[5, 2] == pytest.approx(expected, rel=1e-5)


def test_the_model_and_all_baselines_are_scored_on_the_same_cases(held_out: HeldOut) -> None:
    missing = held_out.forecasts["seasonal_naive"].copy()
    missing[:200, 3, 1] = np.nan
    reduced = replace(held_out, forecasts={**held_out.forecasts, "seasonal_naive": missing})
    for name in (MODEL, *BASELINES):
        errors = reduced.absolute_errors(name)[:, 3, 1]
        assert np.isnan(errors[:200]).all()
        assert np.isfinite(errors[200:]).sum() == np.isfinite(reduced.observed[200:, 3, 1]).sum()


def test_the_quantile_loss_equals_those_of_scores_and_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    observed, forecast = rng.normal(size=400), rng.normal(size=400)
    for probability in (0.05, 0.5, 0.9):
        loss = scores.quantile_loss(observed, forecast, probability).mean()
        assert loss == pytest.approx(mean_pinball_loss(observed, forecast, alpha=probability))
        forecast_x, observed_x = (xarray.DataArray(a, dims="t") for a in (forecast, observed))
        assert loss == pytest.approx(float(quantile_score(forecast_x, observed_x, alpha=probability)))


def test_the_quantile_losses_of_both_bounds_give_the_interval_score(held_out: HeldOut) -> None:
    """Bracher et al. (2021): interval score = 2 / alpha x (sum of the two quantile losses); here alpha = 0.2."""
    observed, low, high = (a[:, 0, 0] for a in (held_out.observed, held_out.lower[0.8], held_out.upper[0.8]))
    loss = scores.quantile_loss(observed, low, 0.1) + scores.quantile_loss(observed, high, 0.9)
    low_x, high_x, observed_x = (xarray.DataArray(a, dims="t") for a in (low, high, observed))
    expected = interval_score(low_x, high_x, observed_x, interval_range=0.8)["total"]
    assert 2 / 0.2 * np.nanmean(loss) == pytest.approx(float(expected), rel=1e-4)


def test_the_crps_of_a_normal_forecast_is_near_its_closed_form(held_out: HeldOut) -> None:
    """The CRPS of N(m, s), averaged over observations from it, is s / sqrt(pi); five quantiles give it within 10 %."""
    assert np.mean(metrics.crps(held_out)) == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.1)


def test_intervals_of_the_true_distribution_have_the_coverage_of_their_level(held_out: HeldOut) -> None:
    for level in (0.8, 0.9):
        assert metrics.coverage(held_out, level).mean() == pytest.approx(level, abs=0.01)


def test_the_skill_is_1_without_error_and_0_with_the_error_of_the_baseline() -> None:
    baseline = np.ones((len(LEADS), len(VARIABLES)))
    np.testing.assert_array_equal(scores.mean_skill(0 * baseline, baseline, SKILL_LEADS), 1)
    np.testing.assert_array_equal(scores.mean_skill(baseline, baseline, SKILL_LEADS), 0)


def test_the_skill_interval_contains_the_skill_and_is_wider_if_errors_are_correlated(held_out: HeldOut) -> None:
    model_mae, baseline_mae = metrics.mae(held_out, MODEL), metrics.mae(held_out, "persistence")
    low, high = metrics.skill_interval(held_out, "persistence", SKILL_LEADS)
    skill = scores.mean_skill(model_mae, baseline_mae, SKILL_LEADS)
    assert ((low < skill) & (skill < high)).all()
    block = scores.block_index(held_out.base.astype(np.int64))
    factor = np.exp(np.random.default_rng(1).normal(size=block.max() + 1))[block].astype(np.float32)[:, None, None]
    correlated = held_out.observed + (held_out.forecasts[MODEL] - held_out.observed) * factor
    changed = replace(held_out, forecasts={**held_out.forecasts, MODEL: correlated})
    correlated_low, correlated_high = metrics.skill_interval(changed, "persistence", SKILL_LEADS)
    assert ((correlated_high - correlated_low) > 1.5 * (high - low)).all()
