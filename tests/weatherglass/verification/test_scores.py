"""The scoring rules against independent packages, and all users of the rules against each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray
from scores import continuous
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_pinball_loss

from ray_jobs.training import model_comparison
from tests.synthetic_history import history
from weatherglass.evaluation import arma, figures, held_out, skill_uncertainty
from weatherglass.forecast import climatology, damped_anomaly, features
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.splits import base_hours
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.verification import baselines, held_out_scores, held_out_test, score_rows, scores
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.forecasts import from_forecasts

RNG = np.random.default_rng(5)
MAX_CASES = 150


def array(values: np.ndarray) -> xarray.DataArray:
    return xarray.DataArray(values, dims=["case", "lead", "variable"][: values.ndim])


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Forecasts and observations (cases, leads, variables); a tenth of the observations is missing."""
    shape = (300, len(LEADS), len(VARIABLES))
    observed = RNG.normal(size=shape)
    forecast = observed + RNG.normal(size=shape)
    return forecast, np.where(RNG.random(shape) < 0.1, np.nan, observed)


def test_mae_and_bias_are_those_of_scores_and_scikit_learn(arrays: tuple[np.ndarray, np.ndarray]) -> None:
    forecast, observed = arrays
    mae = scores.mean(scores.absolute_error(forecast, observed))
    np.testing.assert_allclose(mae, continuous.mae(array(forecast), array(observed), reduce_dims="case"))
    bias = scores.mean(scores.error(forecast, observed))
    np.testing.assert_allclose(bias, continuous.additive_bias(array(forecast), array(observed), reduce_dims="case"))
    known = np.isfinite(observed[:, 5, 2])
    assert mae[5, 2] == pytest.approx(mean_absolute_error(observed[known, 5, 2], forecast[known, 5, 2]))


def test_percentage_errors_are_those_of_scikit_learn_and_nan_below_the_least_observation() -> None:
    observed = np.array([[20.0, 50.0, 1000.0, 4.0], [10.0, 80.0, 990.0, 2.0], [0.0, 9.9, 499.0, 1.99]])
    forecast = observed + np.array([[1.0, 5.0, 3.0, 1.0], [2.0, -8.0, 9.9, 1.0], [1.0, 1.0, 1.0, 1.0]])
    mape = scores.mean(scores.percentage_error(forecast, observed))
    expected = [mean_absolute_percentage_error(observed[:2, v], forecast[:2, v]) * 100 for v in (1, 2, 3)]
    np.testing.assert_allclose(mape, [np.nan, *expected])
    assert np.isnan(scores.percentage_error(forecast, np.full_like(observed, np.nan))).all()


def test_the_mean_ignores_missing_and_excluded_values_and_is_nan_without_any() -> None:
    values = np.array([[1.0, np.nan], [2.0, np.nan], [6.0, np.nan]])
    np.testing.assert_array_equal(scores.mean(values), [3.0, np.nan])
    where = np.array([[True, True], [False, True], [True, True]])
    np.testing.assert_array_equal(scores.mean(values, where), [3.5, np.nan])


def test_the_quantile_loss_is_that_of_scores_and_scikit_learn() -> None:
    observed, quantile = RNG.normal(size=400), RNG.normal(size=400)
    for probability in (0.05, 0.5, 0.9):
        loss = scores.quantile_loss(observed, quantile, probability).mean()
        assert loss == pytest.approx(mean_pinball_loss(observed, quantile, alpha=probability))
        expected = continuous.quantile_score(
            xarray.DataArray(quantile, dims="t"), xarray.DataArray(observed, dims="t"), alpha=probability
        )
        assert loss == pytest.approx(float(expected))


def test_quantile_losses_of_both_bounds_add_up_to_the_interval_score() -> None:
    """Bracher et al. (2021): interval score = 2 / alpha x (sum of the two quantile losses), alpha = 0.2."""
    observed, centre = RNG.normal(size=400), RNG.normal(size=400)
    lower, upper = centre - 1.3, centre + 1.3
    loss = scores.quantile_loss(observed, lower, 0.1) + scores.quantile_loss(observed, upper, 0.9)
    lower_x, upper_x, observed_x = (xarray.DataArray(values, dims="t") for values in (lower, upper, observed))
    expected = continuous.interval_score(lower_x, upper_x, observed_x, interval_range=0.8)["total"]
    assert 2 / 0.2 * loss.mean() == pytest.approx(float(expected))


def test_the_crps_of_five_quantiles_computed_by_hand() -> None:
    """Observation 0; quantiles -2, -1, 0, 1, 2 of the probabilities 0.05, 0.1, 0.5, 0.9, 0.95.

    Losses 0.05 x 2, 0.1 x 1, 0, 0.1 x 1, 0.05 x 2; the quantiles represent the probabilities up to 0.075, 0.3, 0.7,
    0.925 and 1.
    """
    quantiles = {
        p: np.array([q]) for p, q in zip((0.5, 0.1, 0.9, 0.05, 0.95), (0.0, -1.0, 1.0, -2.0, 2.0), strict=True)
    }
    expected = 2 * (0.075 * 0.1 + 0.225 * 0.1 + 0.4 * 0 + 0.225 * 0.1 + 0.075 * 0.1)
    assert scores.crps(np.array([0.0]), quantiles) == pytest.approx([expected])


def test_bounds_belong_to_the_interval_and_missing_values_do_not_count() -> None:
    observed = np.array([1.0, 2.0, 0.999, 2.001, np.nan, 1.5, 1.5])
    lower = np.array([1.0, 1.0, 1.0, 1.0, 1.0, np.nan, 1.0])
    upper = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 2.0, np.nan])
    np.testing.assert_array_equal(scores.inside(observed, lower, upper), [1, 1, 0, 0, np.nan, np.nan, np.nan])
    tolerant = scores.inside(observed, lower, upper, tolerance=0.0015)
    np.testing.assert_array_equal(tolerant, [1, 1, 1, 1, np.nan, np.nan, np.nan])


def test_skill_is_one_for_perfect_forecasts_zero_for_the_baseline_and_averaged_over_leads() -> None:
    baseline = np.ones((len(LEADS), len(VARIABLES)))
    np.testing.assert_array_equal(scores.mean_skill(0 * baseline, baseline), 1)
    np.testing.assert_array_equal(scores.mean_skill(baseline, baseline), 0)
    rising = np.repeat(np.array(LEADS, dtype=float)[:, None], len(VARIABLES), axis=1)
    np.testing.assert_allclose(scores.lead_mean(rising), np.mean([6, 9, 12, 15, 18, 21, 24]))
    np.testing.assert_allclose(scores.mean_skill(rising, 2 * baseline, (6, 24)), 1 - 30 / 4)


def test_blocks_are_five_days_long_and_numbered_without_gaps() -> None:
    np.testing.assert_array_equal(scores.block_index(np.array([0, 119, 120, 1200])), [0, 0, 1, 2])


class Shifted(PersistenceForecaster):
    """Persistence plus 1 in every variable, with the method of a model."""

    climatology: Any
    damping: Any

    def forecast(self, *arguments: Any) -> Forecast:
        forecast = super().forecast(*arguments)
        values = {level: forecast.upper[level] + 1 for level in LEVELS}
        methods = (Method.MODEL,) * len(forecast.methods)
        return replace(forecast, values=forecast.values + 1, upper=values, methods=methods)


@pytest.fixture(scope="module")
def grid() -> HourGrid:
    """A history without gaps, so that all users score the same cases."""
    return history(days=150)


@pytest.fixture(scope="module")
def model(grid: HourGrid) -> Shifted:
    forecaster = Shifted()
    forecaster.climatology = climatology.fit(grid)
    forecaster.damping = damped_anomaly.fit(features.model_inputs(grid, forecaster.climatology).anomalies)
    return forecaster


@pytest.fixture(scope="module")
def hours(grid: HourGrid) -> np.ndarray:
    return np.arange(grid.values.shape[1]) >= 24 * 110


@pytest.fixture(scope="module")
def trained(grid: HourGrid, model: Shifted, hours: np.ndarray) -> held_out_scores.HeldOutScores:
    """As training scores a model."""
    return held_out_scores.evaluate(grid, hours, model, model.climatology, model.damping, MAX_CASES)


@pytest.fixture(scope="module")
def evaluated(grid: HourGrid, model: Shifted, hours: np.ndarray) -> held_out.HeldOut:
    """As an evaluation forecasts held-out hours."""
    rows, base = held_out.choose_cases(grid, hours, MAX_CASES)
    return held_out.forecast(grid, rows, base, model, model.climatology, model.damping)


@pytest.fixture(scope="module")
def verified(grid: HourGrid, model: Shifted, hours: np.ndarray) -> list[dict[str, Any]]:
    """As the verification and the hindcast score issued forecasts."""
    rows, base = held_out.choose_cases(grid, hours, MAX_CASES)
    issued = from_forecasts("7", [model.forecast(grid, rows.tolist(), base.tolist())])
    reference = ReferenceModel(model.climatology, model.damping)
    return score_rows.score(issued, grid, reference, (grid.start).astype("datetime64[D]"), 152)


def weighted(rows: list[dict[str, Any]], name: str, weight: str = "n", power: int = 1) -> np.ndarray:
    """(leads, variables) mean of a column over stations and days, or of its power; NaN without values."""
    totals, counts = np.zeros((2, len(LEADS), len(VARIABLES)))
    for row in rows:
        if row[name] is not None:
            at = row["lead"] - 1, VARIABLES.index(row["variable"])
            totals[at] += row[name] ** power * row[weight]
            counts[at] += row[weight]
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def test_training_evaluation_and_verification_score_the_same_cases(
    trained: held_out_scores.HeldOutScores, evaluated: held_out.HeldOut, verified: list[dict[str, Any]]
) -> None:
    assert trained.cases == len(evaluated.base) == sum(row["n"] for row in verified) / len(LEADS) / len(VARIABLES)
    assert trained.cases > 100


@pytest.mark.parametrize(
    ("name", "column"),
    [("model", "mae_compared"), ("persistence", "mae_persistence"), ("damped_anomaly", "mae_damped")],
)
def test_training_evaluation_verification_and_scores_give_the_same_mae(
    trained: held_out_scores.HeldOutScores,
    evaluated: held_out.HeldOut,
    verified: list[dict[str, Any]],
    name: str,
    column: str,
) -> None:
    expected = continuous.mae(array(evaluated.forecasts[name]), array(evaluated.observed), reduce_dims="case")
    np.testing.assert_allclose(trained.mae[name], expected, rtol=1e-4)
    np.testing.assert_allclose(skill_uncertainty.mae(evaluated, name), expected, rtol=1e-4)
    np.testing.assert_allclose(weighted(verified, column, "n_baselines"), expected, rtol=1e-4)


def test_training_evaluation_and_verification_give_the_same_other_scores(
    trained: held_out_scores.HeldOutScores, evaluated: held_out.HeldOut, verified: list[dict[str, Any]]
) -> None:
    expected = continuous.additive_bias(
        array(evaluated.forecasts["model"]), array(evaluated.observed), reduce_dims="case"
    )
    np.testing.assert_allclose(trained.bias, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(weighted(verified, "bias"), expected, rtol=1e-3, atol=1e-4)
    forecasts, observed = evaluated.forecasts["model"].astype(float), evaluated.observed.astype(float)
    rmse = continuous.rmse(array(forecasts), array(observed), reduce_dims="case")
    np.testing.assert_allclose(trained.rmse, rmse, rtol=1e-3)
    np.testing.assert_allclose(np.sqrt(weighted(verified, "rmse", power=2)), rmse, rtol=1e-3)
    for v, lowest in ((1, 10), (2, 500), (3, 2)):
        for lead in (0, 23):
            known = observed[:, lead, v] >= lowest
            mape = mean_absolute_percentage_error(observed[known, lead, v], forecasts[known, lead, v]) * 100
            assert trained.mape[lead, v] == pytest.approx(mape, rel=1e-3)
            assert weighted(verified, "mape", "n_mape")[lead, v] == pytest.approx(mape, rel=1e-3)
    assert np.isnan(trained.mape[:, 0]).all()
    assert {row["mape"] for row in verified if row["variable"] == "temperature"} == {None}
    np.testing.assert_allclose(trained.crps, skill_uncertainty.crps(evaluated), rtol=1e-3)
    np.testing.assert_allclose(weighted(verified, "crps"), skill_uncertainty.crps(evaluated), rtol=1e-3)
    for level, column in ((0.8, "coverage_80"), (0.9, "coverage_90")):
        inside = (evaluated.observed >= evaluated.lower[level]) & (evaluated.observed <= evaluated.upper[level])
        np.testing.assert_allclose(trained.coverage[level], inside.mean(axis=0))
        np.testing.assert_allclose(skill_uncertainty.coverage(evaluated, level), inside.mean(axis=0))
        np.testing.assert_allclose(weighted(verified, column), inside.mean(axis=0))


def test_residuals_are_errors_at_leads_of_one_to_three_hours_in_half_widths_of_the_interval(
    trained: held_out_scores.HeldOutScores, evaluated: held_out.HeldOut
) -> None:
    expected = [
        [
            abs(evaluated.forecasts["model"][case, lead, v] - evaluated.observed[case, lead, v])
            / (0.5 * (evaluated.upper[0.9][case, lead, v] - evaluated.lower[0.9][case, lead, v]))
            for case in range(trained.cases)
            for lead in (0, 1, 2)
        ]
        for v in range(len(VARIABLES))
    ]
    np.testing.assert_allclose(trained.residuals, expected, rtol=1e-4, atol=1e-4)


def test_hours_without_a_case_have_no_scores(grid: HourGrid, model: Shifted, hours: np.ndarray) -> None:
    """Too few hours for a forecast of 24 h."""
    few = np.zeros_like(hours)
    few[-20:] = True
    none = held_out_scores.evaluate(grid, few, model, model.climatology, model.damping, MAX_CASES)
    assert none.cases == 0
    assert none.residuals.shape == (len(VARIABLES), 0)
    assert none.bias.shape == (len(LEADS), len(VARIABLES))
    assert np.isnan([*none.mae.values(), none.bias, *none.coverage.values()]).all()
    assert none.metrics() == {}


def test_training_evaluation_and_candidates_give_the_same_skill(
    monkeypatch: pytest.MonkeyPatch,
    trained: held_out_scores.HeldOutScores,
    evaluated: held_out.HeldOut,
    model: Shifted,
    grid: HourGrid,
    hours: np.ndarray,
) -> None:
    expected = trained.skill()
    assert trained.metrics()["cases"] == trained.cases
    report = figures.summarize(evaluated)
    for v, variable in enumerate(VARIABLES):
        assert report["skill"]["damped_anomaly"][variable][0] == pytest.approx(expected[v], abs=2e-5)
        assert trained.metrics()[f"skill.{variable}"] == pytest.approx(expected[v])
    assert len(grid.stations) <= arma.STATIONS, "otherwise the candidates are scored on fewer stations"
    monkeypatch.setattr(arma, "forecast", lambda *arguments: arguments[3].forecasts["persistence"])  # takes minutes
    mae = model_comparison.errors(grid, hours, model, MAX_CASES)  # type: ignore[arg-type]
    for name in ("model", *held_out_scores.BASELINES):
        np.testing.assert_allclose(mae[name], trained.mean_mae(name), rtol=1e-4)


def test_the_held_out_test_uses_the_same_errors(grid: HourGrid, model: Shifted, hours: np.ndarray) -> None:
    """On all cases, the relative error is the mean over leads and variables of the scaled MAE."""
    every = len(base_hours(hours)) * len(grid.stations)
    full = held_out_scores.evaluate(grid, hours, model, model.climatology, model.damping, every)
    scale = full.mae["damped_anomaly"]
    result = held_out_test.compare(grid, hours, model, PersistenceForecaster(), scale, every)
    assert result.new_error == pytest.approx(scores.lead_mean(full.mae["model"] / scale).mean(), rel=1e-4)
    assert result.old_error == pytest.approx(scores.lead_mean(full.mae["persistence"] / scale).mean(), rel=1e-4)


def test_valid_times_and_base_hours_outside_the_grid_have_no_score(grid: HourGrid, model: Shifted) -> None:
    length = grid.values.shape[1]
    last, first = length - 10, 72
    issued = from_forecasts("7", [model.forecast(grid, [0, 0], [last, first])])
    errors = score_rows.errors(issued, grid)
    np.testing.assert_array_equal(np.isfinite(errors[0]).all(axis=1), [lead < 10 for lead in LEADS])
    later = HourGrid(grid.stations, grid.start + first + 5, grid.values[:, first + 5 :])
    errors = score_rows.errors(issued, later)
    np.testing.assert_array_equal(np.isfinite(errors[1]).all(axis=1), [lead >= 5 for lead in LEADS])
    reference = ReferenceModel(model.climatology, model.damping)
    rows, base = np.array([0, 1, 2]), np.array([-1, 0, length])
    assert np.isnan(baselines.persistence(grid, rows, base)[[0, 2]]).all()
    assert np.isfinite(baselines.persistence(grid, rows, base)[1]).all()
    scored = score_rows.score(issued, later, reference, grid.start.astype("datetime64[D]"), 152)
    assert sum(row["n_baselines"] for row in scored) == 9 * len(VARIABLES), "the base hour of the other is unknown"
    # Without a known anomaly the damped anomaly is the climatology.
    damped = baselines.damped_anomaly(grid, rows[:1], np.array([length + 20]), reference)
    valid = grid.start + length + 20 + np.array(LEADS)
    normal = model.climatology.at(np.array([0]), valid)[0, :, : len(VARIABLES)]
    np.testing.assert_allclose(damped[0], clip_to_limits(normal.astype(np.float64)), rtol=1e-5)


def test_paired_losses_contain_the_valid_hours_of_the_days_only(grid: HourGrid, model: Shifted) -> None:
    """Base hour 100 of the grid, valid hours 101 to 124; day 4 of the grid ends with hour 119."""
    issued = from_forecasts("7", [model.forecast(grid, [0], [100])])
    other = from_forecasts("8", [PersistenceForecaster().forecast(grid, [0], [100])])
    first = grid.start.astype("datetime64[D]") + 4
    rows = score_rows.paired_losses(issued, other, grid, first, 1)
    assert {row["valid_hour"] for row in rows} == set(grid.start + np.arange(101, 120))
    assert {row["n"] for row in rows} == {1}
    errors = np.abs(score_rows.errors(issued, grid)[0]), np.abs(score_rows.errors(other, grid)[0])
    for row in rows:
        at = int((row["valid_hour"] - grid.start).astype(int)) - 101, VARIABLES.index(row["variable"])
        assert (row["champion_mae"], row["challenger_mae"]) == pytest.approx((errors[0][at], errors[1][at]))


def test_scores_have_the_utc_day_of_their_valid_time(grid: HourGrid, model: Shifted) -> None:
    """Base hour 108 of the grid is 12 UTC of day 4: leads 1 to 11 are valid on day 4, 12 to 24 on day 5."""
    issued = from_forecasts("7", [model.forecast(grid, [1], [108])])
    first = grid.start.astype("datetime64[D]") + 4
    rows = score_rows.score(issued, grid, None, first, 2)
    assert {(row["lead"], row["day"]) for row in rows} == {
        (lead, (first + int(lead >= 12)).astype(object)) for lead in LEADS
    }
    assert {row["lead"] for row in score_rows.score(issued, grid, None, first, 1)} == set(range(1, 12))
