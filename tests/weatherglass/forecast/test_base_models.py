from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.synthetic_history import history
from tests.weatherglass.conftest import Model
from weatherglass.forecast import base_models
from weatherglass.forecast.features import model_inputs
from weatherglass.forecast.spatial_regression import SpatialRegression
from weatherglass.forecast.spatial_regression_fit import PENALTIES, SpatialRegressionFit
from weatherglass.forecast.splits import base_hours, mask_hours
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES


def test_segments_are_assigned_to_the_three_folds_in_turn() -> None:
    hours = np.ones(600, bool)
    masks = base_models._fold_masks(hours)
    for fold, mask in enumerate(masks):
        expected = [*range(100 * fold, 100 * fold + 100), *range(100 * fold + 300, 100 * fold + 400)]
        np.testing.assert_array_equal(np.flatnonzero(mask), expected)


def test_the_masks_of_the_folds_cover_the_training_hours_once(model: Model) -> None:
    masks = [mask for mask, _ in model.base.folds]
    np.testing.assert_array_equal(np.sum(masks, axis=0), model.split.train)


def test_the_regression_of_a_fold_is_fitted_on_the_other_folds(model: Model) -> None:
    anomalies = model_inputs(mask_hours(model.grid, model.split.train), model.base.climatology).anomalies
    fit = SpatialRegressionFit.from_anomalies(
        model.grid.stations, model.grid.hours, anomalies, model.base.damping, base_models.MAX_FIT_HOURS
    )
    masks = [mask for mask, _ in model.base.folds]
    for fold, regression in enumerate(regression for _, regression in model.base.folds):
        one, two = (fit.sums(base_hours(mask)) for k, mask in enumerate(masks) if k != fold)
        expected = fit.solve(one + two, model.base.penalties, model.base.shrinkage)
        np.testing.assert_allclose(regression.weights, expected.weights, atol=1e-3)


def test_the_penalty_of_a_variable_has_its_least_error_on_left_out_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    best = np.array([4, 0, 2, 1])
    errors = 1.0 + np.abs(np.arange(len(PENALTIES))[:, None] - best)
    solved: list[tuple[SpatialRegression, float]] = []
    solve = SpatialRegressionFit.solve

    def record_penalty(self: SpatialRegressionFit, sums: Any, penalties: Any, *further: Any) -> SpatialRegression:
        regression = solve(self, sums, penalties, *further)
        solved.append((regression, penalties[0]))
        return regression

    def increments(_: Any, regression: SpatialRegression, *__: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        (penalty,) = (penalty for known, penalty in solved if known is regression)
        forecast = np.ones((2, len(LEADS), len(VARIABLES)))
        return [(forecast, forecast + errors[PENALTIES.index(penalty)])]

    monkeypatch.setattr(SpatialRegressionFit, "solve", record_penalty)
    monkeypatch.setattr(base_models, "_held_out_increments", increments)
    grid = history(count=2, days=70)
    fitted = base_models.fit(grid, np.ones(grid.values.shape[1], bool))
    assert fitted.penalties == tuple(PENALTIES[k] for k in best)


def test_left_out_hours_are_forecast_and_compared_for_each_station(model: Model) -> None:
    anomalies = model_inputs(mask_hours(model.grid, model.split.train), model.base.climatology).anomalies
    fit = SpatialRegressionFit.from_anomalies(
        model.grid.stations, model.grid.hours, anomalies, model.base.damping, base_models.MAX_FIT_HOURS
    )
    mask, regression = model.base.folds[0]
    base = base_hours(mask)[::13]
    assert len(base) > 1
    pairs = base_models._held_out_increments(fit, regression, mask, [2, 0])
    for row, (forecast, truth) in zip([2, 0], pairs, strict=True):
        assert forecast.any()
        for case, hour in enumerate(base):
            alone = regression.increments(fit.field, np.array([row]), np.array([hour]), fit.hours[[hour]], range(4))
            np.testing.assert_allclose(forecast[case], np.nan_to_num(alone[0]), rtol=1e-5, atol=1e-6)
        expected = fit.residuals(base).reshape(len(base), -1, len(LEADS), len(VARIABLES))[:, row]
        np.testing.assert_array_equal(truth, expected)
    assert base_models._held_out_increments(fit, regression, np.zeros_like(mask), [0]) == []


def test_hours_outside_the_mask_have_no_influence() -> None:
    grid = history(count=2, days=70)
    hours = np.arange(grid.values.shape[1]) < 60 * 24
    other = grid.values.copy()
    other[:, ~hours] = 99
    one, two = (base_models.fit(HourGrid(grid.stations, grid.start, values), hours) for values in (grid.values, other))
    np.testing.assert_array_equal(one.climatology.coefficients, two.climatology.coefficients)
    np.testing.assert_array_equal(one.damping.rho, two.damping.rho)
    np.testing.assert_array_equal(one.regression.weights, two.regression.weights)
    assert one.penalties == two.penalties


def test_chosen_shrinkage_and_penalties_are_among_the_candidates(model: Model) -> None:
    assert set(model.base.penalties) <= set(PENALTIES)
    assert model.base.shrinkage.shape == (len(LEADS), len(VARIABLES))
    assert set(np.round(model.base.shrinkage, 6).ravel()) <= set(np.round(np.linspace(0, 1, 11, dtype=np.float32), 6))


def test_the_shrinkage_minimizes_the_error_on_left_out_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a truth of 0.62 times the forecast, 0.6 is the nearest candidate; with the opposite sign it is 0."""
    forecast = np.random.default_rng(1).normal(size=(50, len(LEADS), len(VARIABLES)))
    factor = np.full((len(LEADS), len(VARIABLES)), 0.62)
    factor[:, 1], factor[3] = -0.5, 1.4
    monkeypatch.setattr(base_models, "_held_out_increments", lambda *_: [(forecast, factor * forecast)])
    chosen = base_models._choose_shrinkage(None, [(None, None)], None)  # type: ignore[arg-type, list-item]
    expected = np.full(factor.shape, 0.6)
    expected[:, 1], expected[3] = 0.0, 1.0
    np.testing.assert_allclose(chosen, expected, rtol=1e-6)


def test_a_refit_keeps_penalties_and_shrinkage_and_has_no_folds(model: Model) -> None:
    hours = ~model.split.test
    refitted = base_models.refit(model.base, model.grid, hours)
    assert refitted.penalties == model.base.penalties
    np.testing.assert_array_equal(refitted.shrinkage, model.base.shrinkage)
    assert refitted.folds == ()
    assert not np.array_equal(refitted.climatology.coefficients, model.base.climatology.coefficients)
