from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.synthetic_history import DAMPING, climate, history
from weatherglass.forecast import base_models, climatology, damped_anomaly, features, fit
from weatherglass.forecast.splits import HistoryTooShort, base_hours, split
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS

Model = SimpleNamespace


def test_what_is_beyond_the_weather_is_held_where_that_helped(model: Model) -> None:
    """A source that tells the pressure of the sea for a while instead of the station's: it stays as it is."""
    rng = np.random.default_rng(5)
    count, leads = 600, (1, 2, 3)
    beyond = np.arange(count) < 60
    still = rng.normal(size=count).astype(np.float32) + np.where(beyond, 20, 0).astype(np.float32)
    sample = fit.TrainingSample(
        rows=np.empty((count, 0), np.float32),
        leads=rng.choice(leads, count),
        residual=np.where(beyond, still, 0.0).astype(np.float32),
        linear=np.zeros(count, np.float32),
        still=still,
        stations=np.zeros(count, np.int64),
        base=np.arange(count),
        beyond=beyond,
    )
    hold = fit._choose_persistence_weight(sample, np.zeros(count), leads)
    np.testing.assert_array_equal(hold, [[0, 0, 0], [1, 1, 1]])

    part = fit.fit_tree_model(model.grid, model.parts, model.base, 2, leads, fit.Size(1000, 3, 7, 0.2, 2, 1000), 4).part
    made = fit.assemble(model.grid, model.parts, model.base, [replace(part, hold=hold)])
    at = int(base_hours(model.parts.test)[40])
    values = model.grid.values.copy()
    values[0, at - 2 : at + 1, 2] -= 300.0
    jumped = made.forecast(HourGrid(model.grid.stations, model.grid.start, values), [0, 1], [at, at])
    np.testing.assert_allclose(jumped.values[0, :3, 2], values[0, at, 2], rtol=1e-6)
    assert not np.allclose(jumped.values[1, :3, 2], values[1, at, 2], atol=0.02)


def test_no_hour_is_touched_by_base_hours_of_two_parts() -> None:
    parts = split(400 * 24)
    touched = []
    for mask in (parts.train, parts.calibrate, parts.test):
        at = base_hours(mask)
        assert len(at) > 24
        reach = at[:, None] + np.arange(-features.PAST_HOURS, LEADS[-1] + 1)
        touched.append(set(reach.ravel().tolist()))
    assert not touched[0] & touched[1]
    assert not touched[0] & touched[2]
    assert not touched[1] & touched[2]
    assert min(touched[2]) > max(touched[0] | touched[1])


def test_a_short_history_is_refused_with_its_length() -> None:
    with pytest.raises(HistoryTooShort, match="20 days"):
        split(20 * 24)


def test_a_variable_without_values_is_named(model: Model) -> None:
    values = model.grid.values.copy()
    values[..., 3:] = np.nan
    grid = HourGrid(model.grid.stations, model.grid.start, values)
    base = base_models.fit(grid, model.parts.train)
    with pytest.raises(fit.InsufficientTrainingData, match="wind_speed"):
        fit.fit_tree_model(grid, model.parts, base, 3, (1, 2, 3), fit.FIRST, seed=1)


def test_same_seed_same_data_same_trees(model: Model) -> None:
    small = fit.Size(1000, 5, 7, 0.2, 2, 1000)
    one, two = (fit.fit_tree_model(model.grid, model.parts, model.base, 0, (1, 2, 3), small, 4).part for _ in range(2))
    assert one.mean.model_to_string() == two.mean.model_to_string()
    np.testing.assert_array_equal(one.quantiles, two.quantiles)


def test_the_climatology_finds_the_climate_that_was_put_in() -> None:
    grid = history(count=2, days=3 * 365)
    made = climatology.fit(grid).at(np.array([0, 1]), grid.hours)
    truth = climate(2, grid.hours)
    # AR(1) weather with a memory of 33 h leaves the mean of three years uncertain by some hundredths of its spread.
    assert np.abs(made[..., 0] - truth[..., 0]).mean() < 0.6
    assert np.abs(made[..., 2] - truth[..., 2]).mean() < 0.9


def test_the_damping_finds_the_memory_of_the_weather() -> None:
    grid = history(count=2, days=3 * 365)
    rho = damped_anomaly.fit(features.model_inputs(grid, climatology.fit(grid)).anomalies).rho
    for lead in (1, 6, 24):
        np.testing.assert_allclose(rho[:, lead, 0], DAMPING**lead, atol=0.06)
