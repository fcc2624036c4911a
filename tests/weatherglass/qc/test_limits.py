"""The one table of limits: its values, its sources, and that the checks have no limits of their own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from inspect import getsource
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.extremes import EXTREMES, FAULTS, Value
from weatherglass.anomaly import rule_limits
from weatherglass.history import climate_limits
from weatherglass.qc import history_checks, limits, observation_checks, series_checks
from weatherglass.qc.limits import RANGE_LIMITS, range_limits
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.records import VARIABLES

NO_LIMITS = {-1, 0, 1, 2, 3, 4, 12, 60}
"""Numbers that checks may use: indices, signs, shapes, months of a year, minutes of an hour."""


def test_ranges_are_the_documented_ones() -> None:
    table = {name: (limit.low, limit.high, limit.resolution, limit.tolerance) for name, limit in RANGE_LIMITS.items()}
    assert table == {
        "temperature": (-95.0, 60.0, 0.1, 0.0),
        "humidity": (0.0, 100.0, 1.0, 5.0),
        "pressure": (300.0, 1100.0, 0.1, 0.0),
        "wind_speed": (0.0, 75.0, 0.5, 0.0),
        "wind_direction": (0.0, 360.0, 1.0, 0.0),
    }


def test_a_value_in_the_range_is_used_unchanged_and_one_in_the_tolerance_as_the_end() -> None:
    values = np.array([np.nan, -0.1, 0.0, 55.5, 100.0, 100.1, 105.0, 105.1], np.float32)
    usable = RANGE_LIMITS["humidity"].usable(values)
    np.testing.assert_array_equal(usable, [np.nan, np.nan, 0.0, 55.5, 100.0, 100.0, 100.0, np.nan])
    assert usable.dtype == np.float32
    assert [RANGE_LIMITS["humidity"].contains(float(value)) for value in values] == np.isfinite(usable).tolist()


@pytest.mark.parametrize("extreme", EXTREMES, ids=lambda extreme: f"{extreme.place} {extreme.value}")
def test_a_published_extreme_is_possible_at_its_place(extreme: Value) -> None:
    value = np.array([extreme.value])
    for at in ((extreme.latitude, extreme.elevation), (None, extreme.elevation), (extreme.latitude, None)):
        assert range_limits(*at)[extreme.variable].usable(value) == value


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.place} {fault.value}")
def test_a_value_that_is_impossible_at_its_place_is_not_used(fault: Value) -> None:
    usable = range_limits(fault.latitude, fault.elevation)[fault.variable].usable(np.array([fault.value]))
    assert np.isnan(usable).all()


@pytest.mark.parametrize(
    "cold", [one for one in EXTREMES if one.variable == "temperature" and one.value < 0], ids=lambda cold: cold.place
)
def test_the_lowest_temperature_is_at_least_5_degrees_below_the_records(cold: Value) -> None:
    assert range_limits(cold.latitude, cold.elevation)["temperature"].low <= cold.value - 5


@given(st.floats(-90, 90), st.floats(-430, 8849))
def test_limits_of_a_place_are_within_those_of_the_earth(latitude: float, elevation: float) -> None:
    place, south = range_limits(latitude, elevation), range_limits(-latitude, elevation)
    assert place == south
    for name, limit in place.items():
        assert RANGE_LIMITS[name].low <= limit.low < limit.high <= RANGE_LIMITS[name].high
    assert range_limits(latitude, elevation + 100)["temperature"].low <= place["temperature"].low
    assert range_limits(latitude, None) == RANGE_LIMITS


@pytest.mark.parametrize(
    ("latitude", "elevation", "coldest", "lowest", "highest"),
    [
        (0.0, 0.0, 5.0, 0.855 * 1013.25, 1093.25),
        (30.0, 0.0, 5 - 45, 0.855 * 1013.25, 1093.25),
        (-30.0, 1000.0, 5 - 45 - 6.5, 0.855 * 898.75, 1093.25),  # standard atmosphere at 1000 m: 898.75 hPa
        (0.0, -400.0, 5 + 2.6, 0.855 * 1062.2, 1100.0),
        (90.0, 4000.0, -95.0, 0.855 * 616.4, 1093.25),
    ],
)
def test_limits_of_a_place_follow_from_latitude_and_standard_atmosphere(
    latitude: float, elevation: float, coldest: float, lowest: float, highest: float
) -> None:
    found = range_limits(latitude, elevation)
    assert found["temperature"].low == pytest.approx(coldest)
    assert (found["pressure"].low, found["pressure"].high) == pytest.approx((lowest, highest), rel=1e-4)


def test_limits_of_all_checks_are_the_documented_ones() -> None:
    assert (limits.GAP_HOURS.value, limits.FLAT_MIN_READINGS.value, limits.LINE_HOURS.value) == (3, 5, 6)
    assert (limits.CALM.value, limits.SEA_LEVEL_MIN_ELEVATION.value) == (0.5, 120)
    assert limits.STEP_SHARE.value == {"temperature": 0.5, "humidity": 0.5, "pressure": 0.5, "wind_speed": 1}
    assert limits.LARGEST_STEP.value == {"temperature": 32.3, "humidity": 100, "pressure": 30.5, "wind_speed": 20}
    assert (limits.CLIMATE_MARGIN.value, limits.CLIMATE_QUANTILE.value) == (0.5, 0.001)
    assert limits.CLIMATE_MIN_HOURS.value == 20 * 24
    assert (limits.UNCHANGED.series, limits.UNCHANGED.history, limits.RESOLUTION_TOLERANCE.value) == (1e-3, 1e-6, 1e-3)


def test_series_and_history_have_their_own_limits() -> None:
    assert limits.STEP.series == {"temperature": 19.4, "humidity": 50, "pressure": 15, "wind_speed": 10.3}
    assert limits.STEP.history == {"temperature": 15, "humidity": 60, "pressure": 15, "wind_speed": 20}
    assert limits.FLAT_HOURS.series == {"temperature": 6, "humidity": 12, "pressure": 12, "wind_speed": 24}
    assert limits.FLAT_HOURS.history == {"temperature": 12, "humidity": 24, "pressure": 12, "wind_speed": 24}
    assert (limits.SATURATION.series, limits.SATURATION.history) == (98, 100)
    assert (limits.DEW_POINT.observation, limits.DEW_POINT.series) == (36, 35)


def test_every_limit_has_a_source() -> None:
    table = [
        value
        for name, value in vars(limits).items()
        if name.isupper() and name not in ("T", "RANGE_LIMITS", "TYPE_CHECKING")
    ]
    assert len(table) > 10
    assert all(len(limit.source) > 10 for limit in table)


@pytest.mark.parametrize("module", [observation_checks, series_checks, history_checks, climate_limits, rule_limits])
def test_checks_have_no_limits_of_their_own(module: ModuleType) -> None:
    numbers = {
        node.value
        for node in ast.walk(ast.parse(getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)
    }
    assert numbers - NO_LIMITS - ALLOWED.get(module, set()) == set()


ALLOWED = {rule_limits: {1.001}}
"""A factor, so that the largest value of history lies below the limit of its station."""


@pytest.mark.parametrize("variable", VARIABLES)
def test_series_checks_use_the_series_column(variable: str) -> None:
    v = VARIABLES.index(variable)
    assert series_checks.STEP_PER_HOUR[v] == limits.STEP.series[variable]
    assert series_checks.FLAT_HOURS[v] == limits.FLAT_HOURS.series[variable]
    assert series_checks.STEP_SHARE[v] == limits.STEP_SHARE.value[variable]
    range_limit = limits.RANGE_LIMITS[variable]
    assert (series_checks.LOW[v], series_checks.HIGH[v]) == (range_limit.low, range_limit.high)
    assert series_checks.RESOLUTION[v] == range_limit.resolution


def test_the_stream_gets_the_observation_column() -> None:
    rules = json.loads(QcParameters().to_json())
    assert rules["highestDewPoint"] == 36
    assert rules["limits"] == [[-95, 60], [0, 100], [300, 1100], [0, 75], [0, 360]]
    assert rules["tolerances"] == [0, 5, 0, 0, 0]
    assert rules["resolutions"] == [0.1, 1, 0.1, 0.5, 1]
    assert rules["seaLevelPressures"] == pytest.approx([0.855 * 1013.25, 1093.25])


def test_the_stream_gets_the_limits_of_each_station() -> None:
    rules = json.loads(QcParameters({}, {"vostok": 3488, "unknown": 0}, {"vostok": -78.46}).to_json())
    assert rules["stationLimits"]["vostok"] == [
        [-95, 60], [0, 100], pytest.approx([0.855 * 658.7, 1093.25], abs=0.1), [0, 75], [0, 360],
    ]  # fmt: skip
    assert rules["stationLimits"]["unknown"][0] == [-95, 60]
    assert rules["stationPressures"]["vostok"] == pytest.approx([0.855 * 658.7, 738.7], abs=0.1)


def test_modules_of_the_stream_do_not_import_numpy() -> None:
    code = (
        "import sys; from weatherglass.qc import limits, observation_checks, station_status; "
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
