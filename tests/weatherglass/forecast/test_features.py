"""Every feature is compared with a value computed from its definition for single stations, hours and variables."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.forecast import climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.features import (
    BASE_FEATURE_NAMES,
    CHANGES,
    FEATURE_NAMES,
    LAGS,
    MEANS,
    NEIGHBOUR_LAGS,
    NEIGHBOUR_VARIABLES,
    CaseFeatures,
    ModelInputs,
    case_features,
    model_inputs,
)
from weatherglass.forecast.neighbours import KERNELS, MIN_WEIGHT
from weatherglass.forecast.variables import MODEL_VARIABLES
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

STATION, BASE = 1, 1000
RHO = np.random.default_rng(1).uniform(0.2, 0.9, (3, 37, len(VARIABLES)))


@pytest.fixture(scope="module")
def inputs() -> ModelInputs:
    """Three stations with a tenth of the values missing; the base hour itself is complete."""
    grid = history(days=60)
    values = grid.values.copy()
    missing = np.random.default_rng(2).random(values.shape) < 0.1
    missing[:, BASE] = False
    values[missing] = np.nan
    return model_inputs(HourGrid(grid.stations, grid.start, values), climatology.fit(grid))


@pytest.fixture(scope="module")
def features(inputs: ModelInputs) -> CaseFeatures:
    return case_features(inputs, DampedAnomaly(RHO), np.array([STATION]), np.array([BASE]))


def value_of(features: CaseFeatures, name: str) -> float:
    return float(features.base_features[0, BASE_FEATURE_NAMES.index(name)])


def series(inputs: ModelInputs, variable: int, hours: int) -> np.ndarray:
    """Anomalies of the newest `hours` hours, base hour last."""
    return inputs.anomalies[STATION, BASE - hours + 1 : BASE + 1, variable].astype(float)


@pytest.mark.parametrize("variable", range(len(MODEL_VARIABLES)), ids=MODEL_VARIABLES)
def test_features_of_the_own_past(inputs: ModelInputs, features: CaseFeatures, variable: int) -> None:
    name = MODEL_VARIABLES[variable]
    anomalies = inputs.anomalies[STATION, :, variable]
    for lag in LAGS:
        np.testing.assert_equal(value_of(features, f"{name}_lag{lag}"), float(anomalies[BASE - lag]))
    for hours in CHANGES:
        change = float(anomalies[BASE] - anomalies[BASE - hours])
        np.testing.assert_equal(value_of(features, f"{name}_change{hours}"), change)
    for hours in MEANS:
        mean = np.nanmean(series(inputs, variable, hours))
        assert value_of(features, f"{name}_mean{hours}") == pytest.approx(mean, rel=1e-4, abs=1e-5)
    spread = np.nanstd(series(inputs, variable, 24))
    assert value_of(features, f"{name}_spread24") == pytest.approx(spread, rel=1e-3)
    assert value_of(features, f"value_{name}") == pytest.approx(float(inputs.values[STATION, BASE, variable]))


def test_features_of_the_neighbours_are_kernel_weighted_means(inputs: ModelInputs, features: CaseFeatures) -> None:
    for lag, kernel, variable in product(NEIGHBOUR_LAGS, range(KERNELS), NEIGHBOUR_VARIABLES):
        total = weighted = 0.0
        for other in range(3):
            weight, anomaly = (
                float(inputs.kernels[kernel, STATION, other]),
                inputs.anomalies[other, BASE - lag, variable],
            )
            if math.isfinite(anomaly):
                total += weight
                weighted += weight * float(anomaly)
        expected = weighted / total if total >= MIN_WEIGHT else math.nan
        value = value_of(features, f"neighbours{kernel}_{MODEL_VARIABLES[variable]}_lag{lag}")
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True)
    assert math.isfinite(value_of(features, "neighbours2_temperature_lag0")), "the eastern neighbour is 450 km away"


def test_features_of_place_and_time(inputs: ModelInputs, features: CaseFeatures) -> None:
    station = inputs.stations[STATION]
    assert value_of(features, "latitude") == pytest.approx(station.latitude)
    assert value_of(features, "longitude") == pytest.approx(station.longitude)
    assert value_of(features, "elevation") == station.elevation
    hour = int((inputs.hours[BASE]).astype("datetime64[h]").astype(int)) % 24
    solar = (hour + station.longitude / 15) / 24 * 2 * math.pi
    assert value_of(features, "solar_cos") == pytest.approx(math.cos(solar), abs=1e-5)
    assert value_of(features, "solar_sin") == pytest.approx(math.sin(solar), abs=1e-5)


@pytest.mark.parametrize(
    ("month", "day", "cos", "sin"),
    [(1, 1, 1.0, 0.0), (4, 2, 0.0, 1.0), (7, 2, -1.0, 0.0), (10, 1, 0.0, -1.0)],
    ids=["january", "april", "july", "october"],
)
def test_the_season_goes_once_round_the_circle_in_a_year(
    inputs: ModelInputs, month: int, day: int, cos: float, sin: float
) -> None:
    start = np.datetime64(f"2014-{month:02d}-{day:02d}T00", "h")
    shifted = replace(inputs, hours=start - BASE + np.arange(len(inputs.hours)))
    features = case_features(shifted, DampedAnomaly(RHO), np.array([STATION]), np.array([BASE]))
    assert value_of(features, "season_cos") == pytest.approx(cos, abs=0.02)
    assert value_of(features, "season_sin") == pytest.approx(sin, abs=0.02)
    years = (datetime(2014, month, day, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days / 365.2425
    assert value_of(features, "season_cos") == pytest.approx(math.cos(2 * math.pi * years), abs=1e-5)
    assert value_of(features, "season_sin") == pytest.approx(math.sin(2 * math.pi * years), abs=1e-5)


@pytest.mark.parametrize("variable", range(len(VARIABLES)), ids=VARIABLES)
def test_features_of_each_lead(inputs: ModelInputs, features: CaseFeatures, variable: int) -> None:
    leads = np.array(LEADS)
    matrix = features.matrix(variable, np.zeros(len(leads), int), leads)
    assert matrix.shape == (24, len(FEATURE_NAMES))
    np.testing.assert_array_equal(
        matrix[:, : len(BASE_FEATURE_NAMES)], np.repeat(features.base_features, len(leads), axis=0)
    )
    normal_now = inputs.climatology.at(np.array([STATION]), inputs.hours[[BASE]])[0, 0, variable]
    longitude = inputs.stations[STATION].longitude
    anomalies = inputs.anomalies[STATION, :, variable]
    for row, lead in zip(matrix, LEADS, strict=True):
        by_name = dict(zip(FEATURE_NAMES, row.tolist(), strict=True))
        valid = inputs.hours[BASE] + lead
        normal = inputs.climatology.at(np.array([STATION]), np.array([valid]))[0, 0, variable]
        solar = 2 * math.pi * ((int(valid.astype(int)) + longitude / 15) % 24) / 24
        assert by_name["lead"] == lead
        assert by_name["damped"] == pytest.approx(RHO[STATION, lead, variable] * anomalies[BASE], rel=1e-5)
        assert math.isnan(by_name["linear"])
        assert by_name["normal"] == pytest.approx(normal, rel=1e-5)
        assert by_name["normal_change"] == pytest.approx(normal - normal_now, abs=1e-3)
        assert by_name["valid_solar_cos"] == pytest.approx(math.cos(solar), abs=1e-4)
        assert by_name["valid_solar_sin"] == pytest.approx(math.sin(solar), abs=1e-4)
        np.testing.assert_equal(by_name["day_before"], float(anomalies[BASE + lead - 24]))
        np.testing.assert_equal(by_name["two_days_before"], float(anomalies[BASE + lead - 48]))


def test_the_newest_anomaly_is_damped_by_its_age_and_the_lead(inputs: ModelInputs) -> None:
    anomalies = inputs.anomalies.copy()
    anomalies[STATION, BASE - 3 : BASE + 1, 0] = np.nan
    anomalies[STATION, BASE - 4, 0] = 2.0
    older = replace(inputs, anomalies=anomalies)
    features = case_features(older, DampedAnomaly(RHO), np.array([STATION]), np.array([BASE]))
    assert (features.newest_anomaly[0, 0], features.age[0, 0]) == (2.0, 4)
    np.testing.assert_allclose(features.damped[0, :, 0], 2 * RHO[STATION, 5:29, 0], rtol=1e-6)


def test_withheld_inputs_are_missing(inputs: ModelInputs) -> None:
    full = case_features(inputs, DampedAnomaly(RHO), np.array([STATION] * 2), np.array([BASE] * 2))
    withheld = case_features(
        inputs,
        DampedAnomaly(RHO),
        np.array([STATION] * 2),
        np.array([BASE] * 2),
        own_hours=np.array([1, 73]),
        with_neighbours=np.array([True, False]),
    )
    assert np.isnan(withheld.past[0, 1:]).all()
    np.testing.assert_array_equal(withheld.past[0, 0], full.past[0, 0])
    np.testing.assert_array_equal(withheld.past[1], full.past[1])
    of_neighbours = [name.startswith("neighbours") for name in BASE_FEATURE_NAMES]
    assert np.isnan(withheld.base_features[1, of_neighbours]).all()
    np.testing.assert_array_equal(withheld.base_features[0, of_neighbours], full.base_features[0, of_neighbours])


def test_the_standard_deviation_needs_three_values(inputs: ModelInputs) -> None:
    rows, base = np.array([STATION] * 2), np.array([BASE] * 2)
    anomalies = inputs.anomalies.copy()
    anomalies[STATION, BASE - 2 : BASE + 1, 0] = [1.0, 4.0, 7.0]
    features = case_features(
        replace(inputs, anomalies=anomalies), DampedAnomaly(RHO), rows, base, own_hours=np.array([2, 3])
    )
    spread = features.base_features[:, BASE_FEATURE_NAMES.index("temperature_spread24")]
    np.testing.assert_allclose(spread, [np.nan, math.sqrt(6)], rtol=1e-6)


def test_the_mean_of_a_single_known_value_is_that_value(inputs: ModelInputs) -> None:
    anomalies = inputs.anomalies.copy()
    anomalies[STATION, BASE - 80 : BASE + 1, 0] = np.nan
    anomalies[STATION, BASE - 4, 0] = 2.5
    single = case_features(
        replace(inputs, anomalies=anomalies), DampedAnomaly(RHO), np.array([STATION]), np.array([BASE])
    )
    for hours in MEANS:
        expected = 2.5 if hours > 4 else math.nan
        assert value_of(single, f"temperature_mean{hours}") == pytest.approx(expected, nan_ok=True)


def test_hours_before_the_window_are_missing(inputs: ModelInputs) -> None:
    features = case_features(inputs, DampedAnomaly(RHO), np.array([STATION]), np.array([10]))
    np.testing.assert_array_equal(features.past[0, :11], inputs.anomalies[STATION, 10::-1, : len(VARIABLES)])
    assert np.isnan(features.past[0, 11:]).all()
