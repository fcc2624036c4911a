"""Flags of synthetic series with known faults, and properties of the flags of any series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weatherglass.meteorology import standard_pressure
from weatherglass.qc.history_checks import (
    HistoryFlag,
    check_history,
    finer_than,
    flat_lines,
    jumps,
    runs,
    straight_lines,
)
from weatherglass.qc.limits import RANGE_LIMITS, range_limits
from weatherglass.records import VARIABLES

RNG = np.random.default_rng(3)
DAYS = 4
FLAT_HOURS = {"temperature": 12, "humidity": 24, "pressure": 12, "wind_speed": 24}
HIGHEST = {"temperature": 60, "humidity": 105, "pressure": 1100, "wind_speed": 75}
LOWEST = {"temperature": -95, "humidity": 0, "pressure": 300, "wind_speed": 0}
LINE_HOURS = 6


def series() -> dict[str, np.ndarray]:
    """Variable weather without a fault, rounded to tenths."""
    day = 2 * np.pi * np.arange(DAYS * 24) / 24
    middle = {"temperature": 10.0, "humidity": 60.0, "pressure": 1005.0, "wind_speed": 6.0}
    return {name: np.round(level + 2 * np.sin(day) + RNG.normal(0, 0.5, len(day)), 1) for name, level in middle.items()}


def flags_of(name: str, values: np.ndarray, elevation: float | None = None, **resolution: float) -> np.ndarray:
    return check_history({**series(), name: values}, range_limits(None, elevation), elevation, resolution)[name]


def test_weather_without_a_fault_has_no_flag() -> None:
    flags = check_history(series(), range_limits(50.0, 10.0), 10.0, dict.fromkeys(VARIABLES, 0.1))
    assert all((of_variable == HistoryFlag.OK).all() for of_variable in flags.values())


@pytest.mark.parametrize("name", VARIABLES)
def test_missing_impossible_and_constant_values_are_flagged_at_their_hours(name: str) -> None:
    values = series()[name]
    values[10], values[20] = np.nan, HIGHEST[name] + 1
    values[30 : 30 + FLAT_HOURS[name]] = values[30]
    flags = flags_of(name, values)
    assert flags[10] == HistoryFlag.MISSING
    assert flags[20] == HistoryFlag.RANGE
    assert (flags[30 : 30 + FLAT_HOURS[name]] == HistoryFlag.FLAT).all()


@pytest.mark.parametrize("name", VARIABLES)
def test_a_shorter_flat_line_is_not_flagged(name: str) -> None:
    values = series()[name]
    values[30 : 30 + FLAT_HOURS[name] - 1] = 7.77
    assert HistoryFlag.FLAT not in flags_of(name, values)


def test_a_line_through_a_gap_is_flagged_from_end_to_end() -> None:
    values = series()["temperature"]
    values[40 : 40 + LINE_HOURS] = 5 + 0.3 * np.arange(LINE_HOURS)
    flags = flags_of("temperature", values)
    assert (flags[40 : 40 + LINE_HOURS] == HistoryFlag.LINE).all()
    assert (np.delete(flags, np.s_[39 : 41 + LINE_HOURS]) == HistoryFlag.OK).all()


def test_straight_lines_of_the_minimum_length_are_marked_with_both_ends() -> None:
    #                  0    1    2    3    4    5    6    7    8    9    10   11
    values = np.array([7.0, 1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0, 6.0, 5.0, 5.0, 5.0])
    assert np.flatnonzero(straight_lines(values, 5)).tolist() == [5, 6, 7, 8, 9]
    assert np.flatnonzero(straight_lines(values, 4)).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert not straight_lines(values, 6).any()


def test_flat_lines_of_the_minimum_length_are_marked() -> None:
    values = np.array([1.0, 2.0, 2.0, 2.0, 3.0, 3.0, np.nan, 3.0])
    assert np.flatnonzero(flat_lines(values, 3)).tolist() == [1, 2, 3]
    assert np.flatnonzero(flat_lines(values, 2)).tolist() == [1, 2, 3, 4, 5]
    assert not flat_lines(values, 4).any()


def test_a_change_of_exactly_the_limit_is_not_a_jump() -> None:
    assert jumps(np.array([0.0, 15.0, 0.5]), 15.0).tolist() == [False, False, False]
    assert jumps(np.array([0.0, 15.5, 31.5]), 15.0).tolist() == [False, True, True]


@pytest.mark.parametrize("shape", ["spike", "step"])
def test_a_spike_is_one_jump_and_so_is_a_lasting_step(shape: str) -> None:
    values = series()["temperature"]
    values[50 : 51 if shape == "spike" else None] += 30
    assert np.flatnonzero(flags_of("temperature", values) == HistoryFlag.JUMP).tolist() == [50]


@pytest.mark.parametrize(("humidity", "flagged"), [(100.0, False), (99.0, True)])
def test_only_a_saturated_humidity_may_be_constant_for_days(humidity: float, flagged: bool) -> None:
    assert (HistoryFlag.FLAT in flags_of("humidity", np.full(72, humidity))) == flagged


def test_a_humidity_within_the_tolerance_is_saturated_and_has_no_flag() -> None:
    saturated = 100 + RNG.uniform(0, 5, 72)
    assert (flags_of("humidity", saturated) == HistoryFlag.OK).all()


@pytest.mark.parametrize(
    ("name", "value", "latitude", "elevation"), [("temperature", -60.0, 38.7, 77.0), ("pressure", 540.0, 38.7, 77.0)]
)
def test_a_value_that_is_impossible_at_the_station_is_out_of_range(
    name: str, value: float, latitude: float, elevation: float
) -> None:
    values = series()
    values[name][30] = value
    flags = check_history(values, range_limits(latitude, elevation), elevation, {})[name]
    assert np.flatnonzero(flags == HistoryFlag.RANGE).tolist() == [30]


def test_values_finer_than_the_resolution_are_interpolated() -> None:
    values = series()["temperature"]
    values[5] = 10.1234
    assert np.flatnonzero(flags_of("temperature", values, temperature=0.1) == HistoryFlag.INTERPOLATED).tolist() == [5]
    assert finer_than(np.array([0.5, 0.5004, 0.5006, -1.0]), 0.5).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("elevation", "flagged"), [(1609.0, True), (120.0, True), (119.0, False), (20.0, False), (None, False)]
)
def test_a_sea_level_pressure_is_flagged_from_120_m_on(elevation: float | None, flagged: bool) -> None:
    weather = (series()["pressure"] - 1005.0) / 5
    station = np.round(standard_pressure(elevation or 0.0) + weather, 1)
    mixed = np.where(np.arange(len(station)) < 48, station, np.round(1013.25 + weather, 1))
    flags = flags_of("pressure", mixed, elevation)
    assert (flags[:48] == HistoryFlag.OK).all()
    assert (flags[49:] == (HistoryFlag.OTHER_LEVEL if flagged else HistoryFlag.OK)).all()


def test_runs_are_given_by_their_first_and_last_position() -> None:
    assert runs(np.array([True, True, False, True])) == [(0, 1), (3, 3)]
    assert runs(np.array([False])) == []


values_of_any_kind = st.lists(
    st.one_of(st.just(float("nan")), st.floats(-200, 1200), st.sampled_from([5.0, 5.0, 6.0])), min_size=1, max_size=60
)


@given(values_of_any_kind, st.sampled_from(VARIABLES))
@settings(max_examples=150, deadline=None)
def test_every_hour_of_any_series_gets_one_flag(values: list[float], name: str) -> None:
    array = np.array(values)
    flags = check_history(dict.fromkeys(VARIABLES, array), RANGE_LIMITS, 500.0, {})[name]
    assert len(flags) == len(array)
    assert ((flags == HistoryFlag.MISSING) == np.isnan(array)).all()
    assert ((flags == HistoryFlag.RANGE) == ((array < LOWEST[name]) | (array > HIGHEST[name]))).all()
