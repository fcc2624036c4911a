"""Values that the models may learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.extremes import EXTREMES, FAULTS, Value
from weatherglass.forecast.variables import drop_implausible
from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.stations import bundled_stations


def usable(one: Value, grid_variable: str) -> float:
    """The value of an hour of a station at the place, after the implausible values were dropped."""
    boston = bundled_stations()["boston"]
    station = replace(boston, station_id="place", latitude=one.latitude, elevation=one.elevation)
    values = np.full((2, 1, len(GRID_VARIABLES)), np.nan, np.float32)
    values[1, 0, GRID_VARIABLES.index(grid_variable)] = one.value
    values[0, 0, 0] = 10.0
    kept = drop_implausible(HourGrid((boston, station), np.datetime64("2026-01-05T00", "h"), values)).values
    assert kept[0, 0, 0] == 10.0, "another station"
    assert kept.dtype == np.float32
    return float(kept[1, 0, GRID_VARIABLES.index(grid_variable)])


def test_published_extremes_are_kept_and_faults_dropped() -> None:
    assert [usable(one, one.variable) for one in EXTREMES] == [np.float32(one.value) for one in EXTREMES]
    faults = [one for one in FAULTS if one.variable in GRID_VARIABLES]
    assert np.isnan([usable(one, one.variable) for one in faults]).all()


def test_a_humidity_within_the_tolerance_is_100() -> None:
    assert usable(Value("Boston", 42.4, 14, "humidity", 104.0), "humidity") == 100.0
