"""The one table of limits: its values, its sources, and that the checks have no limits of their own."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from inspect import getsource
from types import ModuleType

import pytest

from weatherglass.anomaly import rule_limits
from weatherglass.history import climate_limits
from weatherglass.qc import history_checks, limits, observation_checks, series_checks
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.records import VARIABLES, Quality

NO_LIMITS = {-1, 0, 1, 2, 3, 4, 12, 60}
"""Numbers that checks may use: indices, signs, shapes, months of a year, minutes of an hour."""


def test_ranges_are_those_of_the_wmo() -> None:
    assert {name: (limit.low, limit.high, limit.resolution) for name, limit in limits.RANGE_LIMITS.items()} == {
        "temperature": (-80.0, 60.0, 0.1),
        "humidity": (0.0, 100.0, 1.0),
        "pressure": (500.0, 1100.0, 0.1),
        "wind_speed": (0.0, 75.0, 0.5),
        "wind_direction": (0.0, 360.0, 1.0),
    }


def test_series_and_history_have_their_own_limits() -> None:
    assert limits.STEP.series == {"temperature": 19.4, "humidity": 50, "pressure": 15, "wind_speed": 10.3}
    assert limits.STEP.history == {"temperature": 15, "humidity": 60, "pressure": 15, "wind_speed": 20}
    assert limits.FLAT_HOURS.series == {"temperature": 6, "humidity": 12, "pressure": 12, "wind_speed": 24}
    assert limits.FLAT_HOURS.history == {"temperature": 12, "humidity": 24, "pressure": 12, "wind_speed": 24}
    assert (limits.SATURATION.series, limits.SATURATION.history) == (98, 100)
    assert (limits.DEW_POINT.observation, limits.DEW_POINT.series) == (36, 35)


def test_every_limit_has_a_source() -> None:
    table = [value for name, value in vars(limits).items() if name.isupper() and name not in ("T", "RANGE_LIMITS")]
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
    assert rules["pressureTolerance"] == 80
    assert rules["limits"] == [[-80, 60], [0, 100], [500, 1100], [0, 75], [0, 360]]
    assert rules["resolutions"] == [0.1, 1, 0.1, 0.5, 1]


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (None, Quality.NOT_CHECKED),
        (-80.0, Quality.OK),
        (60.0, Quality.OK),
        (-80.1, Quality.FAILED),
        (60.1, Quality.FAILED),
    ],
)
def test_both_ends_of_a_range_are_plausible(value: float | None, state: Quality) -> None:
    assert limits.RANGE_LIMITS["temperature"].check(value) is state


def test_modules_of_the_stream_do_not_import_numpy() -> None:
    code = (
        "import sys; from weatherglass.qc import limits, observation_checks, station_status; "
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
