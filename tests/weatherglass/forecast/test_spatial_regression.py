from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic_history import CROSSING_HOURS
from tests.weatherglass.conftest import Model
from weatherglass.forecast.features import case_features, model_inputs
from weatherglass.forecast.spatial_regression import BLOCKS, CHANGE_SCALE, CLIP, LAGS, predictors, standardize
from weatherglass.forecast.spatial_regression_fit import SpatialRegressionFit
from weatherglass.forecast.splits import base_hours
from weatherglass.forecast.variables import MODEL_VARIABLES
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

NO_SHRINKAGE = np.ones((len(LEADS), len(VARIABLES)), np.float32)


@pytest.fixture(scope="module")
def fit(model: Model) -> SpatialRegressionFit:
    anomalies = model_inputs(model.grid, model.base.climatology).anomalies
    return SpatialRegressionFit.from_anomalies(
        model.grid.stations, model.grid.hours, anomalies, model.base.damping, max_hours=10**6
    )


def test_sums_of_disjoint_hours_can_be_added_and_subtracted(fit: SpatialRegressionFit) -> None:
    hours = np.arange(100, 400)
    whole, part, rest = (fit.sums(base) for base in (hours, hours[:120], hours[120:]))
    assert (whole - part).count == rest.count
    np.testing.assert_allclose((whole - part).regressors, rest.regressors, rtol=1e-3, atol=0.05)
    np.testing.assert_allclose((part + rest).targets, whole.targets, rtol=1e-3, atol=0.05)


def test_increments_are_those_of_a_ridge_regression(fit: SpatialRegressionFit) -> None:
    """Compared with the normal equations in double precision."""
    base = np.arange(100, 1500)
    regression = fit.solve(fit.sums(base), [5000.0] * 4, NO_SHRINKAGE)
    row, lead, variable = 1, 5, 0
    lagged = fit.field[fit.neighbours[row][None, None, :], (base[:, None] - np.array(LAGS))[:, :, None]]
    x = predictors(lagged, fit.hours[base]).astype(float)
    residuals = fit.residuals(base).reshape(len(base), -1, len(LEADS), len(VARIABLES))
    y = residuals[:, row, lead, variable].astype(float)
    centred = x - x.mean(axis=0)
    penalty = np.diag(5000.0 * fit.penalty(row))
    weights = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean()))
    expected = y.mean() + centred @ weights
    rows, hours = np.full(len(base), row), fit.hours[base]
    increments = regression.increments(fit.field, rows, base, hours, [variable])[:, lead, 0]
    np.testing.assert_allclose(increments, expected, atol=0.02)
    scaled = regression.scaled(np.full(NO_SHRINKAGE.shape, 0.25, np.float32))
    quarter = scaled.increments(fit.field, rows, base, hours, [variable])[:, lead, 0]
    np.testing.assert_allclose(quarter, increments / 4, atol=1e-4)


def test_the_penalty_grows_with_distance_and_lag(fit: SpatialRegressionFit) -> None:
    """Station 0 first (factor 0.2), then its neighbours at 450 and 900 km (1 + 0.45^2 and 1 + 0.9^2)."""
    np.testing.assert_array_equal(fit.neighbours[0], [0, 1, 2])
    penalty = fit.penalty(0).reshape(BLOCKS, 3, len(MODEL_VARIABLES))
    by_station, by_lag = [0.2, 1.2025, 1.81], [0.5, 0.6, 0.7, 0.8, 1.1, 1.4, 1.7, 2.3, 2.9, 4.1, 5.3, 1.0, 1.0]
    for k, factor in enumerate(by_station):
        np.testing.assert_allclose(penalty[:, k, 0], np.array(by_lag) * factor, rtol=2e-3)
    np.testing.assert_array_equal(penalty, np.broadcast_to(penalty[..., :1], penalty.shape))


def test_residuals_are_truth_minus_damped_anomaly_within_the_winsor_limit(fit: SpatialRegressionFit) -> None:
    base, station, variable = np.arange(200, 230), 2, 1
    residuals = fit.residuals(base).reshape(len(base), -1, len(LEADS), len(VARIABLES))
    anomalies, rho = fit.anomalies[station, :, variable], fit.damping.rho[station, :, variable].astype(np.float32)
    for lead in (1, 9, 24):
        all_hours = np.arange(0, fit.anomalies.shape[1] - lead, 7)
        errors = np.abs(anomalies[all_hours + lead] - rho[lead] * anomalies[all_hours])
        limit = 5 * 1.4826 * np.median(errors)
        assert fit.limit[station, lead, variable] == pytest.approx(limit, rel=1e-5)
        expected = np.clip(anomalies[base + lead] - rho[lead] * anomalies[base], -limit, limit)
        np.testing.assert_allclose(residuals[:, station, lead - 1, variable], expected, rtol=1e-5)


def test_the_scale_is_the_robust_standard_deviation_of_the_anomalies(fit: SpatialRegressionFit) -> None:
    anomalies = fit.anomalies[1, :, 2].astype(float)
    expected = 1.4826 * np.median(np.abs(anomalies - np.median(anomalies)))
    assert fit.scale[1, 2] == pytest.approx(expected, rel=1e-5)


def test_a_station_with_less_than_half_of_the_hours_has_no_regression(model: Model) -> None:
    anomalies = model_inputs(model.grid, model.base.climatology).anomalies.copy()
    hours = anomalies.shape[1]
    anomalies[0, : hours // 2 + 1, 0] = np.nan
    anomalies[1, : hours // 2 - 1, 0] = np.nan
    fit = SpatialRegressionFit.from_anomalies(
        model.grid.stations, model.grid.hours, anomalies, model.base.damping, max_hours=10**6
    )
    np.testing.assert_array_equal(fit.fitted, [[False, True, True, True], [True] * 4, [True] * 4])


def test_the_regression_predicts_crossing_weather_at_the_downwind_station_only(model: Model) -> None:
    """Station 1 has the weather that station 0 had some hours before; that of station 0 is unpredictable."""
    errors = {}
    inputs = model_inputs(model.grid, model.base.climatology, regression=model.base.regression)
    base = base_hours(model.split.calibrate)[::3]
    for station in (0, 1):
        features = case_features(inputs, model.base.damping, np.full(len(base), station), base)
        truth = inputs.values[station, base + CROSSING_HOURS, 0]
        index = CROSSING_HOURS - 1
        damped = features.normal[:, index, 0] + features.damped[:, index, 0]
        linear = np.nan_to_num(features.linear[:, index, 0])
        errors[station] = np.abs(truth - damped - linear).mean() / np.abs(truth - damped).mean()
    assert errors[1] < 0.7
    assert errors[0] > 0.9


def test_an_unknown_station_has_no_increments(model: Model) -> None:
    stations = (replace(model.grid.stations[0], station_id="new"), *model.grid.stations[1:])
    anomalies = model_inputs(model.grid, model.base.climatology).anomalies
    field = model.base.regression.standardized_field(stations, anomalies)
    assert np.isnan(field[0]).all()
    assert np.isfinite(field[1]).any()
    hours = model.grid.hours[[500]]
    increments = model.base.regression.increments(field, np.array([-1]), np.array([500]), hours, [0])
    assert np.isnan(increments).all()


def test_without_neighbours_only_their_anomalies_are_missing(model: Model) -> None:
    regression = model.base.regression
    anomalies = model_inputs(model.grid, model.base.climatology).anomalies
    field = regression.standardized_field(model.grid.stations, anomalies)
    rows, base = np.array([1, 1]), np.array([500, 700])
    some = regression.increments(
        field, rows, base, model.grid.hours[base], [0], with_neighbours=np.array([False, True])
    )
    alone = field.copy()
    alone[np.arange(len(field)) != 1] = np.nan
    expected = [
        regression.increments(one, rows[[case]], base[[case]], model.grid.hours[base[[case]]], [0])[0]
        for case, one in enumerate((alone, field))
    ]
    assert np.isfinite(some).all()
    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(some[0], regression.increments(field, rows, base, model.grid.hours[base], [0])[0])


def test_standardized_anomalies_are_clipped_and_filled_for_12_hours() -> None:
    anomalies = np.full((1, 30, 2), np.nan, np.float32)
    anomalies[0, 2] = [3.0, -900.0]
    anomalies[0, 20, 0] = 1.0
    field = standardize(anomalies, np.array([[2.0, 5.0]], np.float32))
    expected = np.full((30, 2), np.nan)
    expected[2:15, 0], expected[20:30, 0], expected[2:15, 1] = 1.5, 0.5, -CLIP
    np.testing.assert_array_equal(field[0], expected)


def test_a_wrong_reading_is_clipped_in_the_field(model: Model) -> None:
    values = model.grid.values.copy()
    values[1, 500, 0] = 900.0
    grid = HourGrid(model.grid.stations, model.grid.start, values)
    anomalies = model_inputs(grid, model.base.climatology).anomalies
    field = model.base.regression.standardized_field(grid.stations, anomalies)
    assert field[1, 500, 0] == CLIP


def test_an_anomaly_is_extreme_beyond_four_standard_deviations(model: Model) -> None:
    regression = model.base.regression
    limit = 4 * regression.scale[1, 2]
    rows = np.array([1, 1, 1, -1, len(regression.scale)])
    anomalies = np.array([limit * 1.01, -limit * 1.01, limit * 0.99, limit * 9, limit * 9], np.float32)
    np.testing.assert_array_equal(regression.is_extreme(rows, anomalies, 2), [True, True, False, False, False])


def test_predictors_are_the_anomaly_its_scaled_changes_and_the_harmonics_of_the_day() -> None:
    lagged = np.arange(2.0, 2 + len(LAGS), dtype=np.float32)[None, :, None, None] ** 2
    blocks = predictors(lagged, np.array(["2014-01-01T07"], dtype="datetime64[h]")).reshape(BLOCKS)
    expected = [4.0]
    for i in range(1, len(LAGS)):
        scale = math.sqrt(2 * (1 - math.exp(-(LAGS[i] - LAGS[i - 1]) / 30)))
        assert CHANGE_SCALE[i - 1] == pytest.approx(scale)
        expected.append(((i + 1) ** 2 - (i + 2) ** 2) / scale)
    angle = 2 * math.pi * 7 / 24
    np.testing.assert_allclose(blocks, [*expected, 4 * math.cos(angle), 4 * math.sin(angle)], rtol=1e-5)


def test_missing_changes_are_zero() -> None:
    lagged = np.full((1, len(LAGS), 1, 1), np.nan, np.float32)
    lagged[0, 0] = 2.0
    blocks = predictors(lagged, np.array(["2014-01-01T00"], dtype="datetime64[h]")).reshape(BLOCKS)
    np.testing.assert_allclose(blocks, [2.0, *[0.0] * (len(LAGS) - 1), 2.0, 0.0])


def test_missing_changes_are_imputed_from_an_identical_neighbour(fit: SpatialRegressionFit) -> None:
    """The station's field equals its neighbour's, so all changes are recovered except for the effect of the ridge."""
    base = np.arange(100, 1500)
    field = fit.field.copy()
    field[1] = field[0]
    twins = replace(fit, field=field)
    regression = twins.solve(twins.sums(base), [5000.0] * 4, NO_SHRINKAGE)
    row = 1
    lagged = regression._lagged(field, row, base)
    complete = predictors(lagged, twins.hours[base]).reshape(len(base), BLOCKS, lagged.shape[2], -1)
    reduced = lagged.copy()
    reduced[:, 1:, 0] = np.nan
    imputed = predictors(reduced, twins.hours[base], regression.imputation[row]).reshape(complete.shape)
    zero = predictors(reduced, twins.hours[base]).reshape(complete.shape)
    changes = slice(1, len(LAGS))
    error, error_of_zero = (np.abs(x - complete)[:, changes, 0, 0].mean() for x in (imputed, zero))
    assert error < 0.2 * error_of_zero
    np.testing.assert_array_equal(imputed[:, :, 1:], complete[:, :, 1:])


def test_known_changes_are_not_imputed(fit: SpatialRegressionFit, model: Model) -> None:
    base = np.arange(100, 1500)
    lagged = model.base.regression._lagged(fit.field, 1, base)
    lagged = lagged[np.isfinite(lagged[:, :, 0]).all(axis=(1, 2))]
    hours = fit.hours[base[: len(lagged)]]
    imputation = model.base.regression.imputation[1]
    np.testing.assert_array_equal(predictors(lagged, hours, imputation), predictors(lagged, hours))
