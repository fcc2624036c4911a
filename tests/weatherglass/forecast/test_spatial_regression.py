from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.synthetic_history import CROSSING_HOURS, history
from weatherglass.forecast import base_models, features
from weatherglass.forecast.spatial_regression import BLOCKS, CLIP, LAGS, predictors
from weatherglass.forecast.spatial_regression_fit import SpatialRegressionFit
from weatherglass.forecast.splits import base_hours
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

Model = SimpleNamespace


@pytest.fixture(scope="module")
def regression(model: Model) -> SpatialRegressionFit:
    seen = features.model_inputs(model.grid, model.base.climatology)
    return SpatialRegressionFit.of(
        model.grid.stations, model.grid.start, seen.anomalies, model.base.damping, most_hours=10**6
    )


def test_the_sums_of_hours_add_up_and_can_be_taken_away(regression: SpatialRegressionFit) -> None:
    hours = np.arange(100, 400)
    whole, part, rest = (regression.sums(at) for at in (hours, hours[:120], hours[120:]))
    assert (whole - part).count == rest.count
    np.testing.assert_allclose((whole - part).regressors, rest.regressors, rtol=1e-3, atol=0.05)
    np.testing.assert_allclose((part + rest).targets, whole.targets, rtol=1e-3, atol=0.05)


def test_a_stations_weights_are_those_of_a_ridge_regression(regression: SpatialRegressionFit) -> None:
    """Against the normal equations written out with NumPy in double precision."""
    at = np.arange(100, 1500)
    network = regression.solve(regression.sums(at), [5000.0] * 4, np.ones((len(LEADS), len(VARIABLES)), np.float32))
    row, lead, variable = 1, 5, 0
    when = at[:, None] - np.array(LAGS)
    lagged = regression.field[regression.near[row][None, None, :], when[:, :, None]]
    x = predictors(lagged, regression.start + at).astype(float)
    y = regression.residuals(at).reshape(len(at), -1, len(LEADS), len(VARIABLES))[:, row, lead, variable].astype(float)
    centred = x - x.mean(axis=0)
    penalty = np.diag(5000.0 * regression.penalty(row))
    weights = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean()))
    expected = y.mean() + centred @ weights
    rows, hours = np.full(len(at), row), regression.start + at
    made = network.increments(regression.field, rows, at, hours, [variable])[:, lead, 0]
    np.testing.assert_allclose(made, expected, atol=0.02)


def test_weather_that_crosses_is_seen_coming(model: Model) -> None:
    """Station 1 feels what station 0 felt some hours before; what station 0 will feel nobody can know."""
    errors = {}
    seen = features.model_inputs(model.grid, model.base.climatology, network=model.base.network)
    when = base_hours(model.parts.calibrate)[::3]
    for station in (0, 1):
        made = features.case_features(seen, model.base.damping, np.full(len(when), station), when)
        truth = seen.present[station, when + CROSSING_HOURS, 0]
        damped = made.normal[:, CROSSING_HOURS - 1, 0] + made.damped[:, CROSSING_HOURS - 1, 0]
        linear = np.nan_to_num(made.linear[:, CROSSING_HOURS - 1, 0])
        errors[station] = np.abs(truth - damped - linear).mean() / np.abs(truth - damped).mean()
    assert errors[1] < 0.7
    assert errors[0] > 0.9


def test_nothing_is_learnt_from_hours_outside_the_mask() -> None:
    grid = history(count=2, days=70)
    hours = np.arange(grid.values.shape[1]) < 60 * 24
    other = grid.values.copy()
    other[:, ~hours] = 99
    one, two = (base_models.fit(HourGrid(grid.stations, grid.start, values), hours) for values in (grid.values, other))
    np.testing.assert_array_equal(one.climatology.coefficients, two.climatology.coefficients)
    np.testing.assert_array_equal(one.network.weights, two.network.weights)
    assert one.penalties == two.penalties


def test_networks_of_a_fold_do_not_know_its_hours(model: Model) -> None:
    masks = [mask for mask, _ in model.base.left_out]
    np.testing.assert_array_equal(np.sum(masks, axis=0), model.parts.train)
    weights = [network.weights for _, network in model.base.left_out]
    assert not np.array_equal(weights[0], weights[1])


def test_a_station_that_the_network_does_not_know_has_no_linear_forecast(model: Model) -> None:
    stations = (replace(model.grid.stations[0], station_id="stranger"), *model.grid.stations[1:])
    grid = HourGrid(stations, model.grid.start, model.grid.values)
    field = model.base.network.field(grid.stations, features.model_inputs(model.grid, model.base.climatology).anomalies)
    assert np.isnan(field[0]).all()
    assert np.isfinite(field[1]).any()
    made = model.base.network.increments(field, np.array([-1]), np.array([500]), grid.hours[[500]], [0])
    assert np.isnan(made).all()


def test_one_wild_reading_is_kept_within_bounds(model: Model) -> None:
    wild = model.grid.values.copy()
    wild[1, 500, 0] = 900.0
    seen = features.model_inputs(HourGrid(model.grid.stations, model.grid.start, wild), model.base.climatology)
    field = model.base.network.field(model.grid.stations, seen.anomalies)
    assert np.nanmax(np.abs(field)) <= CLIP


def test_what_is_not_known_has_not_changed() -> None:
    lagged = np.full((1, len(LAGS), 1, 1), np.nan, np.float32)
    lagged[0, 0] = 2.0
    made = predictors(lagged, np.array(["2014-01-01T00"], dtype="datetime64[h]")).reshape(BLOCKS)
    np.testing.assert_allclose(made[: len(LAGS)], [2.0, *[0.0] * (len(LAGS) - 1)])
    assert np.isfinite(made).all()


def test_an_unknown_past_is_told_from_the_neighbours(regression: SpatialRegressionFit) -> None:
    """A station that feels what its neighbour felt at the same hours: its own changes are found again without its past,
    all but what the ridge takes for chance.
    """
    at = np.arange(100, 1500)
    twin = regression.field.copy()
    twin[1] = twin[0]
    one = replace(regression, field=twin)
    network = one.solve(one.sums(at), [5000.0] * 4, np.ones((len(LEADS), len(VARIABLES)), np.float32))
    row = 1
    lagged = network._lagged(twin, row, at)
    whole = predictors(lagged, one.start + at).reshape(len(at), BLOCKS, lagged.shape[2], -1)
    poor = lagged.copy()
    poor[:, 1:, 0] = np.nan
    told = predictors(poor, one.start + at, network.recall[row]).reshape(whole.shape)
    untold = predictors(poor, one.start + at).reshape(whole.shape)
    change = slice(1, len(LAGS))
    left, before = (np.abs(x - whole)[:, change, 0, 0].mean() for x in (told, untold))
    assert left < 0.2 * before
    np.testing.assert_array_equal(told[:, :, 1:], whole[:, :, 1:])


def test_a_known_past_is_not_told_anew(regression: SpatialRegressionFit, model: Model) -> None:
    at = np.arange(100, 1500)
    lagged = model.base.network._lagged(regression.field, 1, at)
    lagged = lagged[np.isfinite(lagged[:, :, 0]).all(axis=(1, 2))]
    hours = regression.start + at[: len(lagged)]
    np.testing.assert_array_equal(predictors(lagged, hours, model.base.network.recall[1]), predictors(lagged, hours))
