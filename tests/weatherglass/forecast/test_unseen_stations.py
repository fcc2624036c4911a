from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic_history import history, stations
from weatherglass.forecast import climatology
from weatherglass.forecast.climatology import TERMS, Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.features import case_features, model_inputs
from weatherglass.forecast.unseen_stations import add_unseen_stations, level_offset
from weatherglass.forecast.variables import MODEL_VARIABLES
from weatherglass.records import VARIABLES

KNOWN = stations(3)
RNG = np.random.default_rng(4)
NORMALS = Climatology(tuple(s.station_id for s in KNOWN), RNG.normal(size=(3, TERMS, len(MODEL_VARIABLES))))
DAMPING = DampedAnomaly(RNG.uniform(size=(3, 37, 4)))


def test_a_new_station_has_the_mean_of_the_known_ones_weighted_by_distance() -> None:
    """Known stations are 450 km apart on the 45th parallel; weights fall to 1/e in 300 km from the nearest one."""
    new = replace(KNOWN[2], station_id="new", longitude=KNOWN[2].longitude + 0.1)
    normals, damping = add_unseen_stations(NORMALS, DAMPING, KNOWN, [*KNOWN, new])
    assert normals.station_ids == (*NORMALS.station_ids, "new")
    np.testing.assert_array_equal(normals.coefficients[:3], NORMALS.coefficients)
    np.testing.assert_array_equal(damping.rho[:3], DAMPING.rho)
    cosine = math.cos(math.radians(45))
    kilometres = np.array(
        [2 * 6371 * math.asin(cosine * math.sin(math.radians(new.longitude - known.longitude) / 2)) for known in KNOWN]
    )
    assert kilometres[1] == pytest.approx(458, abs=1)
    weight = np.exp(-(kilometres - kilometres.min()) / 300)
    weight /= weight.sum()
    np.testing.assert_allclose(normals.coefficients[3], np.tensordot(weight, NORMALS.coefficients, 1), rtol=1e-6)
    np.testing.assert_allclose(damping.rho[3], np.tensordot(weight, DAMPING.rho, 1), rtol=1e-6)


def test_a_variable_without_climatology_at_the_nearest_station_comes_from_the_others() -> None:
    coefficients = NORMALS.coefficients.copy()
    coefficients[2, :, 3] = np.nan
    new = replace(KNOWN[2], station_id="new")
    normals, _ = add_unseen_stations(Climatology(NORMALS.station_ids, coefficients), DAMPING, KNOWN, [new])
    weight = np.exp(np.array([-900.0, -450.0]) / 300)
    expected = np.tensordot(weight / weight.sum(), coefficients[:2, :, 3], 1)
    np.testing.assert_allclose(normals.coefficients[3, :, 3], expected, atol=2e-3)


def test_a_known_station_without_a_temperature_climatology_is_not_used_and_one_without_others_is() -> None:
    """The nearest station lacks all variables but the temperature, the one 450 km away the temperature."""
    coefficients = NORMALS.coefficients.copy()
    coefficients[2, :, 1:] = np.nan
    coefficients[1, :, 0] = np.nan
    new = replace(KNOWN[2], station_id="new")
    normals, _ = add_unseen_stations(Climatology(NORMALS.station_ids, coefficients), DAMPING, KNOWN, [new])
    weight = np.exp(np.array([-900.0, 0.0]) / 300)
    expected = np.tensordot(weight / weight.sum(), coefficients[[0, 2], :, 0], 1)
    np.testing.assert_allclose(normals.coefficients[3, :, 0], expected, atol=2e-3)
    np.testing.assert_allclose(normals.coefficients[3, :, 1:], coefficients[0, :, 1:], rtol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"station_id": "far", "latitude": -40.0},
        {"station_id": "unknown-place", "latitude": float("nan")},
    ],
    ids=["no new station", "too far", "unknown coordinates"],
)
def test_nothing_is_added_without_a_new_station_within_1500_km(changes: dict[str, object]) -> None:
    station = replace(KNOWN[0], **changes)
    assert add_unseen_stations(NORMALS, DAMPING, KNOWN, [station]) == (NORMALS, DAMPING)


@pytest.mark.parametrize(
    ("variable", "prior_hours"),
    [("temperature", 80), ("humidity", 60), ("pressure", 0), ("wind_speed", 40), ("wind_u", 40), ("dew_point", 80)],
)
def test_the_level_is_the_mean_anomaly_drawn_towards_zero_by_the_prior_hours(variable: str, prior_hours: int) -> None:
    past = np.full((3, 73, len(MODEL_VARIABLES)), 4.0, np.float32)
    past[0, 1:] = np.nan
    past[1, ::2] = 1.0
    past[2] = np.nan
    level = level_offset(past)[:, MODEL_VARIABLES.index(variable)]
    mean = (37 * 1.0 + 36 * 4.0) / 73
    np.testing.assert_allclose(level, [4 / (1 + prior_hours), mean * 73 / (73 + prior_hours), 0], rtol=1e-6)


def test_the_level_of_a_borrowed_climatology_moves_the_normals_and_the_anomalies() -> None:
    grid = history(days=60)
    fitted = climatology.fit(grid)
    damping = DampedAnomaly(np.full((3, 37, 4), 0.5))
    rows, base = np.array([2]), np.array([800])
    own, borrowed = (case_features(model_inputs(grid, fitted, known=known), damping, rows, base) for known in (None, 2))
    level = level_offset(model_inputs(grid, fitted).anomalies[2, 800:727:-1][None])[0, : len(VARIABLES)]
    assert (np.abs(level) > 1e-3).all()
    np.testing.assert_allclose(borrowed.normal - own.normal, np.broadcast_to(level, (1, 24, 4)), atol=1e-3)
    np.testing.assert_allclose(borrowed.base_normal - own.base_normal, [level], atol=1e-3)
    np.testing.assert_allclose(borrowed.past - own.past, np.broadcast_to(-level, (1, 73, 4)), atol=1e-3)
