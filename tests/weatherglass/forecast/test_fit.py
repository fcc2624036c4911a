from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic_history import DAMPING, history
from tests.weatherglass.conftest import Model
from weatherglass.forecast import base_models, climatology, damped_anomaly, fit
from weatherglass.forecast.features import PAST_HOURS, model_inputs
from weatherglass.forecast.presets import FIRST, ModelSize
from weatherglass.forecast.splits import base_hours
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS

SMALL = ModelSize(1000, 3, 7, 0.2, 2, 1000)


def extreme_sample(rng: np.random.Generator, leads: tuple[int, ...]) -> fit.TrainingSample:
    """Sixty extreme cases whose truth is persistence, and 540 whose truth is the climatology."""
    count = 600
    extreme = np.arange(count) < 60
    persistence_residual = rng.normal(size=count).astype(np.float32) + np.where(extreme, 20, 0).astype(np.float32)
    return fit.TrainingSample(
        matrix=np.empty((count, 0), np.float32),
        leads=rng.choice(leads, count),
        residual=np.where(extreme, persistence_residual, 0.0).astype(np.float32),
        linear=np.zeros(count, np.float32),
        persistence_residual=persistence_residual,
        stations=np.zeros(count, np.int64),
        base=np.arange(count),
        extreme=extreme,
    )


def test_extreme_anomalies_have_a_persistence_weight_of_their_own(model: Model) -> None:
    """For example a source that reports the pressure at sea level for a while instead of the station's."""
    leads = (1, 2, 3)
    sample = extreme_sample(np.random.default_rng(5), leads)
    weight = fit._choose_persistence_weight(sample, np.zeros(600), leads)
    np.testing.assert_array_equal(weight, [[0, 0, 0], [1, 1, 1]])

    trees = fit.fit_tree_model(model.grid, model.split, model.base, 2, leads, SMALL, 4).model
    forecaster = fit.assemble(model.grid, model.split, model.base, [replace(trees, persistence_weight=weight)])
    base = int(base_hours(model.split.test)[40])
    values = model.grid.values.copy()
    values[0, base - 2 : base + 1, 2] -= 300.0
    jumped = forecaster.forecast(HourGrid(model.grid.stations, model.grid.start, values), [0, 1], [base, base])
    np.testing.assert_allclose(jumped.values[0, :3, 2], values[0, base, 2], rtol=1e-6)
    assert not np.allclose(jumped.values[1, :3, 2], values[1, base, 2], atol=0.02)


def test_fewer_than_30_extreme_cases_have_the_usual_persistence_weight() -> None:
    leads = (1, 2, 3)
    sample = extreme_sample(np.random.default_rng(5), leads)
    sample = replace(sample, extreme=np.arange(600) < 29)
    weight = fit._choose_persistence_weight(sample, np.zeros(600), leads)
    np.testing.assert_array_equal(weight[0], weight[1])


def test_the_blend_with_persistence_uses_the_weight_of_lead_and_extreme(model: Model) -> None:
    trees = fit.fit_tree_model(model.grid, model.split, model.base, 2, (1, 2, 3), SMALL, 4).model
    trees = replace(trees, persistence_weight=np.array([[0.0, 0.25, 0.5], [1.0, 1.0, 0.75]]))
    sample = extreme_sample(np.random.default_rng(1), (1, 2, 3))
    sample = replace(
        sample,
        leads=np.array([1, 2, 3, 3]),
        persistence_residual=np.array([8.0, 8.0, 8.0, 8.0], np.float32),
        extreme=np.array([False, False, False, True]),
    )
    np.testing.assert_allclose(fit._blend_persistence(trees, sample, np.full(4, 4.0)), [4.0, 5.0, 6.0, 7.0])


def test_the_best_shrinkage_is_the_nearest_candidate_and_the_smallest_of_equals() -> None:
    value = np.random.default_rng(2).normal(size=300)
    leads = np.repeat([4, 5, 6], 100)
    residual = value * np.repeat([0.38, -1.0, 2.0], 100)
    np.testing.assert_allclose(fit.best_shrinkage(residual, value, leads, (4, 5, 6)), [0.4, 0.0, 1.0])
    np.testing.assert_array_equal(fit.best_shrinkage(residual, np.zeros(300), leads, (4, 5, 6)), [0, 0, 0])


def test_the_spread_of_a_station_is_drawn_towards_1_by_200_cases() -> None:
    """Station 0 has 300 scores of 1, station 2 100 scores of 3: the quantile 0.85 of all is 3."""
    scores, stations = np.repeat([1.0, 3.0], [300, 100]), np.repeat([0, 2], [300, 100])
    spread = fit.station_spread(scores, stations, 4)
    np.testing.assert_allclose(spread, [(1 / 3) ** (300 / 500), 1, 1, 1])
    scores[300:] = np.linspace(1, 3, 100)
    overall, own = np.quantile(scores, 0.85), np.quantile(scores[300:], 0.85)
    expected = [(1 / overall) ** (300 / 500), 1, (own / overall) ** (100 / 300), 1]
    np.testing.assert_allclose(fit.station_spread(scores, stations, 4), expected)


def test_a_sample_holds_the_truth_relative_to_the_base_models(model: Model) -> None:
    rng = np.random.default_rng(3)
    inputs = model_inputs(model.grid, model.base.climatology, regression=model.base.regression)
    own_hours = np.full(600, PAST_HOURS + 1)
    sample = fit.sample_cases(inputs, model.split.calibrate, model.base.damping, 0, (9, 10), own_hours, rng)
    assert set(sample.leads) == {9, 10}
    rho = model.base.damping.rho
    for case in (0, 100, -1):
        station, base, lead = sample.stations[case], sample.base[case], sample.leads[case]
        assert base in base_hours(model.split.calibrate)
        valid = np.array([model.grid.start + base + lead])
        normal = model.base.climatology.at(np.array([station]), valid)[0, 0, 0]
        base_normal = model.base.climatology.at(np.array([station]), valid - lead)[0, 0, 0]
        value, truth = model.grid.values[station, base, 0], model.grid.values[station, base + lead, 0]
        forecast = normal + rho[station, lead, 0] * (value - base_normal) + sample.linear[case]
        assert sample.residual[case] == pytest.approx(truth - forecast, abs=1e-4)
        assert sample.persistence_residual[case] == pytest.approx(value - forecast, abs=1e-4)


def test_too_few_values_of_a_variable_are_an_error_that_names_it(model: Model) -> None:
    values = model.grid.values.copy()
    values[..., 3:] = np.nan
    grid = HourGrid(model.grid.stations, model.grid.start, values)
    base = base_models.fit(grid, model.split.train)
    with pytest.raises(fit.InsufficientTrainingData, match="wind_speed"):
        fit.fit_tree_model(grid, model.split, base, 3, (1, 2, 3), FIRST, seed=1)


def test_the_same_seed_and_data_give_the_same_trees(model: Model) -> None:
    one, two = (fit.fit_tree_model(model.grid, model.split, model.base, 0, (1, 2, 3), SMALL, 4).model for _ in range(2))
    assert one.residual.model_to_string() == two.residual.model_to_string()
    np.testing.assert_array_equal(one.quantiles, two.quantiles)


def test_rho_recovers_the_autocorrelation_of_the_weather() -> None:
    grid = history(count=2, days=3 * 365)
    rho = damped_anomaly.fit(model_inputs(grid, climatology.fit(grid)).anomalies).rho
    for lead in (1, 6, LEADS[-1]):
        np.testing.assert_allclose(rho[:, lead, 0], DAMPING**lead, atol=0.06)
