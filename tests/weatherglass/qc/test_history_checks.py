"""Flags of made-up series whose faults are known, and what must hold for any series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weatherglass.qc.history_checks import FLAT_HOURS, LINE_HOURS, HistoryFlag, flagged, standard_pressure
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.records import VARIABLES

RNG = np.random.default_rng(3)
DAYS = 4


def series() -> dict[str, np.ndarray]:
    """Lively weather without a fault, rounded to tenths."""
    day = 2 * np.pi * np.arange(DAYS * 24) / 24
    middle = {"temperature": 10.0, "humidity": 60.0, "pressure": 1005.0, "wind_speed": 6.0}
    return {name: np.round(level + 2 * np.sin(day) + RNG.normal(0, 0.5, len(day)), 1) for name, level in middle.items()}


def flags_of(name: str, values: np.ndarray, elevation: float | None = None, **resolution: float) -> np.ndarray:
    return flagged({**series(), name: values}, elevation, resolution)[name]


def test_weather_without_a_fault_has_no_flag() -> None:
    assert all(
        (flags == HistoryFlag.OK).all() for flags in flagged(series(), 10.0, dict.fromkeys(VARIABLES, 0.1)).values()
    )


def test_each_fault_is_flagged_where_it_is() -> None:
    for name in VARIABLES:
        values = series()[name]
        values[10], values[20] = np.nan, LIMITS[name].high + 1
        values[30 : 30 + FLAT_HOURS[name]] = values[30]
        flags = flags_of(name, values)
        assert flags[10] == HistoryFlag.MISSING
        assert flags[20] == HistoryFlag.RANGE
        assert (flags[30 : 30 + FLAT_HOURS[name]] == HistoryFlag.FLAT).all()
        shorter = series()[name]
        shorter[30 : 30 + FLAT_HOURS[name] - 1] = 7.77
        assert HistoryFlag.FLAT not in flags_of(name, shorter)


def test_a_line_through_a_gap_is_flagged_from_end_to_end() -> None:
    values = series()["temperature"]
    values[40 : 40 + LINE_HOURS] = 5 + 0.3 * np.arange(LINE_HOURS)
    flags = flags_of("temperature", values)
    assert (flags[40 : 40 + LINE_HOURS] == HistoryFlag.LINE).all()
    assert (np.delete(flags, np.s_[39 : 41 + LINE_HOURS]) == HistoryFlag.OK).all()


def test_a_spike_is_one_jump_and_a_lasting_step_one() -> None:
    spike, step = series()["temperature"], series()["temperature"]
    spike[50] += 30
    step[50:] += 30
    for values in (spike, step):
        assert np.flatnonzero(flags_of("temperature", values) == HistoryFlag.JUMP).tolist() == [50]


def test_fog_may_last() -> None:
    assert HistoryFlag.FLAT not in flags_of("humidity", np.full(72, 100.0))


def test_values_finer_than_the_record_are_computed_ones() -> None:
    values = series()["temperature"]
    values[5] = 10.1234
    assert np.flatnonzero(flags_of("temperature", values, temperature=0.1) == HistoryFlag.INTERPOLATED).tolist() == [5]


@pytest.mark.parametrize(("elevation", "told"), [(1609.0, True), (20.0, False), (None, False)])
def test_a_sea_level_pressure_is_told_high_above_the_sea(elevation: float | None, told: bool) -> None:
    weather = series()["pressure"] - 1005.0
    station = np.round(standard_pressure(elevation or 0.0) + weather, 1)
    mixed = np.where(np.arange(len(station)) < 48, station, np.round(1013.25 + weather, 1))
    flags = flags_of("pressure", mixed, elevation)
    assert (flags[:48] == HistoryFlag.OK).all()
    assert (flags[49:] == (HistoryFlag.OTHER_LEVEL if told else HistoryFlag.OK)).all()


def test_standard_pressure_as_tabled() -> None:
    """ISO 2533: 954.61 hPa at 500 m, 794.95 hPa at 2000 m."""
    assert standard_pressure(500) == pytest.approx(954.61, abs=0.05)
    assert standard_pressure(2000) == pytest.approx(794.95, abs=0.05)


values_of_any_kind = st.lists(
    st.one_of(st.just(float("nan")), st.floats(-200, 1200), st.sampled_from([5.0, 5.0, 6.0])), min_size=1, max_size=60
)


@given(values_of_any_kind, st.sampled_from(VARIABLES))
@settings(max_examples=150, deadline=None)
def test_any_series_gets_a_flag_for_every_hour(values: list[float], name: str) -> None:
    made = np.array(values)
    flags = flagged({**dict.fromkeys(VARIABLES, made), name: made}, 500.0, {})[name]
    assert len(flags) == len(made)
    assert ((flags == HistoryFlag.MISSING) == np.isnan(made)).all()
    beyond = (made < LIMITS[name].low) | (made > LIMITS[name].high)
    assert ((flags == HistoryFlag.RANGE) == beyond).all()
