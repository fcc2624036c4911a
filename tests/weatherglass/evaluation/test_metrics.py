"""The sums of an evaluation against independent implementations of the same scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray
from scores.continuous import interval_score, mae, quantile_score
from sklearn.metrics import mean_absolute_error, mean_pinball_loss

from weatherglass.evaluation import metrics
from weatherglass.evaluation.held_out import BASELINES, MODEL, HeldOut
from weatherglass.records import LEADS, VARIABLES

SHAPE = (300, len(LEADS), len(VARIABLES))
SKILL_LEADS = (6, 12, 24)


@pytest.fixture
def held_out() -> HeldOut:
    """Made-up forecasts, a tenth of the truth missing; the model errs half as much as the baselines."""
    rng = np.random.default_rng(2)
    truth = rng.normal(size=SHAPE).astype(np.float32)
    answers = {name: (truth + rng.normal(size=SHAPE)).astype(np.float32) for name in BASELINES}
    answers[MODEL] = (truth + 0.5 * rng.normal(size=SHAPE)).astype(np.float32)
    half = {0.8: 0.5 * 1.2816, 0.9: 0.5 * 1.6449}
    lower = {level: (answers[MODEL] - width).astype(np.float32) for level, width in half.items()}
    upper = {level: (answers[MODEL] + width).astype(np.float32) for level, width in half.items()}
    truth = np.where(rng.random(SHAPE) < 0.1, np.float32(np.nan), truth)
    base = np.datetime64("2016-12-01T00", "h") + np.arange(SHAPE[0]) * 7
    return HeldOut(("a", "b"), np.arange(SHAPE[0]) % 2, base, truth, answers, lower, upper)


def test_the_mean_absolute_error_is_that_of_scores_and_of_scikit_learn(held_out: HeldOut) -> None:
    ours = metrics.mae(held_out, MODEL)
    answer, truth = (
        xarray.DataArray(a, dims=["case", "lead", "variable"]) for a in (held_out.answers[MODEL], held_out.truth)
    )
    np.testing.assert_allclose(ours, mae(answer, truth, reduce_dims="case"), rtol=1e-5)
    known = np.isfinite(held_out.truth[:, 5, 2])
    theirs = mean_absolute_error(held_out.truth[known, 5, 2], held_out.answers[MODEL][known, 5, 2])
    assert ours[5, 2] == pytest.approx(theirs, rel=1e-5)


def test_all_are_compared_on_the_same_cases(held_out: HeldOut) -> None:
    gone = held_out.answers["seasonal_naive"].copy()
    gone[:200, 3, 1] = np.nan
    less = replace(held_out, answers={**held_out.answers, "seasonal_naive": gone})
    for who in (MODEL, *BASELINES):
        errors = less.errors(who)[:, 3, 1]
        assert np.isnan(errors[:200]).all()
        assert np.isfinite(errors[200:]).sum() == np.isfinite(less.truth[200:, 3, 1]).sum()


def test_the_quantile_loss_is_that_of_scores_and_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    truth, answer = rng.normal(size=400), rng.normal(size=400)
    for probability in (0.05, 0.5, 0.9):
        ours = metrics.pinball(truth, answer, probability).mean()
        assert ours == pytest.approx(mean_pinball_loss(truth, answer, alpha=probability))
        theirs = quantile_score(
            xarray.DataArray(answer, dims="t"), xarray.DataArray(truth, dims="t"), alpha=probability
        )
        assert ours == pytest.approx(float(theirs))


def test_the_quantile_loss_of_both_ends_is_the_interval_score(held_out: HeldOut) -> None:
    truth, low, high = (a[:, 0, 0] for a in (held_out.truth, held_out.lower[0.8], held_out.upper[0.8]))
    ours = metrics.pinball(truth, low, 0.1) + metrics.pinball(truth, high, 0.9)
    low_x, high_x, truth_x = (xarray.DataArray(a, dims="t") for a in (low, high, truth))
    theirs = interval_score(low_x, high_x, truth_x, interval_range=0.8)["total"]
    # Bracher et al. (2021): interval score = 2 / alpha x (sum of the two quantile losses), alpha = 0.2.
    assert 2 / 0.2 * np.nanmean(ours) == pytest.approx(float(theirs), rel=1e-4)


def test_the_crps_of_a_normal_forecast_is_near_its_closed_form(held_out: HeldOut) -> None:
    """CRPS of N(m, s) averaged over truths that follow it is s / sqrt(pi); five quantiles tell it to some percent."""
    assert np.mean(metrics.crps(held_out)) == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.1)


def test_intervals_of_a_true_distribution_hold_what_they_claim(held_out: HeldOut) -> None:
    for level in (0.8, 0.9):
        assert metrics.coverage(held_out, level).mean() == pytest.approx(level, abs=0.01)


def test_skill_is_one_for_the_truth_and_zero_for_the_baseline() -> None:
    theirs = np.ones((len(LEADS), len(VARIABLES)))
    np.testing.assert_array_equal(metrics.skill(0 * theirs, theirs, SKILL_LEADS), 1)
    np.testing.assert_array_equal(metrics.skill(theirs, theirs, SKILL_LEADS), 0)


def test_the_bootstrap_holds_the_skill_and_is_wider_where_errors_go_together(held_out: HeldOut) -> None:
    ours, theirs = metrics.mae(held_out, MODEL), metrics.mae(held_out, "persistence")
    low, high = metrics.skill_interval(held_out, "persistence", SKILL_LEADS)
    value = metrics.skill(ours, theirs, SKILL_LEADS)
    assert ((low < value) & (value < high)).all()
    rng = np.random.default_rng(1)
    block = held_out.base.astype(np.int64) // metrics.BLOCK_HOURS
    luck = np.exp(rng.normal(size=block.max() + 1))[block - 0].astype(np.float32)[:, None, None]
    stormy = held_out.truth + (held_out.answers[MODEL] - held_out.truth) * luck
    together = replace(held_out, answers={**held_out.answers, MODEL: stormy})
    far_low, far_high = metrics.skill_interval(together, "persistence", SKILL_LEADS)
    assert ((far_high - far_low) > 1.5 * (high - low)).all()
