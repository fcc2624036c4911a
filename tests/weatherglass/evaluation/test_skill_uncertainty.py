"""Metrics of held-out forecasts against independent implementations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray
from scores.continuous import mae

from weatherglass.evaluation import skill_uncertainty
from weatherglass.evaluation.held_out import BASELINES, HeldOut
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification import scores
from weatherglass.verification.held_out_scores import MODEL

SHAPE = (300, len(LEADS), len(VARIABLES))
SKILL_LEADS = (6, 12, 24)


@pytest.fixture
def held_out() -> HeldOut:
    """Synthetic forecasts; a tenth of the observations is missing. The model has half the error of the baselines."""
    rng = np.random.default_rng(2)
    observed = rng.normal(size=SHAPE).astype(np.float32)
    forecasts = {name: (observed + rng.normal(size=SHAPE)).astype(np.float32) for name in BASELINES}
    forecasts[MODEL] = (observed + 0.5 * rng.normal(size=SHAPE)).astype(np.float32)
    half_width = {0.8: 0.5 * 1.2816, 0.9: 0.5 * 1.6449}
    lower = {level: (forecasts[MODEL] - width).astype(np.float32) for level, width in half_width.items()}
    upper = {level: (forecasts[MODEL] + width).astype(np.float32) for level, width in half_width.items()}
    observed = np.where(rng.random(SHAPE) < 0.1, np.float32(np.nan), observed)
    base = np.datetime64("2016-12-01T00", "h") + np.arange(SHAPE[0]) * 7
    return HeldOut(("a", "b"), np.arange(SHAPE[0]) % 2, base, observed, forecasts, lower, upper)


def test_the_mae_of_some_cases_is_that_of_scores(held_out: HeldOut) -> None:
    cases = held_out.stations == 1
    forecast, observed = (
        xarray.DataArray(values[cases], dims=["case", "lead", "variable"])
        for values in (held_out.forecasts[MODEL], held_out.observed)
    )
    expected = mae(forecast, observed, reduce_dims="case")
    np.testing.assert_allclose(skill_uncertainty.mae(held_out, MODEL, cases), expected, rtol=1e-5)


def test_a_case_counts_only_if_the_model_and_all_baselines_have_a_forecast(held_out: HeldOut) -> None:
    incomplete = held_out.forecasts["seasonal_naive"].copy()
    incomplete[:200, 3, 1] = np.nan
    changed = replace(held_out, forecasts={**held_out.forecasts, "seasonal_naive": incomplete})
    for name in (MODEL, *BASELINES):
        errors = changed.absolute_errors(name)[:, 3, 1]
        assert np.isnan(errors[:200]).all()
        assert np.isfinite(errors[200:]).sum() == np.isfinite(changed.observed[200:, 3, 1]).sum()


def test_the_crps_of_a_calibrated_normal_forecast_is_near_its_closed_form(held_out: HeldOut) -> None:
    """The mean CRPS of a calibrated N(m, s) is s / sqrt(pi); five quantiles approximate it within some percent."""
    assert np.mean(skill_uncertainty.crps(held_out)) == pytest.approx(0.5 / np.sqrt(np.pi), rel=0.1)


def test_calibrated_intervals_have_their_nominal_coverage(held_out: HeldOut) -> None:
    for level in (0.8, 0.9):
        assert skill_uncertainty.coverage(held_out, level).mean() == pytest.approx(level, abs=0.01)


def test_the_bootstrap_interval_contains_the_skill_and_widens_with_correlated_errors(held_out: HeldOut) -> None:
    low, high = skill_uncertainty.skill_interval(held_out, "persistence", SKILL_LEADS)
    mae_of = {name: skill_uncertainty.mae(held_out, name) for name in (MODEL, "persistence")}
    skill = scores.mean_skill(mae_of[MODEL], mae_of["persistence"], SKILL_LEADS)
    assert ((low < skill) & (skill < high)).all()
    block = scores.block_index(held_out.base.astype(np.int64))
    factor = np.exp(np.random.default_rng(1).normal(size=block.max() + 1))[block].astype(np.float32)[:, None, None]
    correlated = held_out.observed + (held_out.forecasts[MODEL] - held_out.observed) * factor
    changed = replace(held_out, forecasts={**held_out.forecasts, MODEL: correlated})
    wide_low, wide_high = skill_uncertainty.skill_interval(changed, "persistence", SKILL_LEADS)
    assert ((wide_high - wide_low) > 1.5 * (high - low)).all()


def test_the_bootstrap_interval_is_that_of_a_plain_loop_over_drawn_blocks(held_out: HeldOut) -> None:
    low, high = skill_uncertainty.skill_interval(held_out, "persistence", SKILL_LEADS, seed=3)
    block = held_out.base.astype(np.int64) // 120
    numbers = np.unique(block)
    drawn = np.random.default_rng(3).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), size=1000)
    comparable = held_out.comparable("persistence")
    errors = [
        np.where(comparable, np.abs(held_out.forecasts[name] - held_out.observed), 0) for name in (MODEL, "persistence")
    ]
    at = [lead - 1 for lead in SKILL_LEADS]
    skills = []
    for times in drawn:
        weight = times[np.searchsorted(numbers, block)][:, None, None]
        model, baseline = ((weight * error).sum(axis=0)[at] for error in errors)
        skills.append((1 - model / baseline).mean(axis=0))
    np.testing.assert_allclose([low, high], np.quantile(skills, [0.025, 0.975], axis=0), rtol=1e-4)
