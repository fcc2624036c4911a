from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.synthetic_history import DAMPING, climate, history
from weatherglass.history import HourGrid
from weatherglass.models import climatology, damped, design, fitting, ground
from weatherglass.models.forecast import LEVELS
from weatherglass.models.split import HistoryTooShort, bases, split
from weatherglass.records import LEADS

Model = SimpleNamespace


def test_conformal_intervals_hold_their_share_of_exchangeable_errors() -> None:
    rng = np.random.default_rng(11)
    inside = []
    for _ in range(400):
        scores = np.abs(rng.standard_t(3, size=200))
        inside.append(np.abs(rng.standard_t(3, size=50))[:, None] <= fitting.conformal(scores))
    share = np.concatenate(inside).mean(axis=0)
    # The quantile of 200 scores varies the coverage of a draw by about 0.03; over 400 draws by 0.0015.
    np.testing.assert_allclose(share, LEVELS, atol=0.01)
    assert (share >= np.array(LEVELS) - 0.006).all()


def test_no_hour_is_touched_by_base_hours_of_two_parts() -> None:
    parts = split(400 * 24)
    touched = []
    for mask in (parts.train, parts.calibrate, parts.test):
        at = bases(mask)
        assert len(at) > 24
        reach = at[:, None] + np.arange(-design.PAST_HOURS, LEADS[-1] + 1)
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
    base = ground.fit(grid, model.parts.train)
    with pytest.raises(fitting.NothingToLearn, match="wind_speed"):
        fitting.fit_part(grid, model.parts, base, 3, (1, 2, 3), fitting.FIRST, seed=1)


def test_same_seed_same_data_same_trees(model: Model) -> None:
    small = fitting.Size(1000, 5, 7, 0.2, 2, 1000)
    one, two = (fitting.fit_part(model.grid, model.parts, model.base, 0, (1, 2, 3), small, 4).part for _ in range(2))
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
    rho = damped.fit(design.view(grid, climatology.fit(grid)).anomalies).rho
    for lead in (1, 6, 24):
        np.testing.assert_allclose(rho[:, lead, 0], DAMPING**lead, atol=0.06)
