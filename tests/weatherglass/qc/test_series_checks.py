"""The vectorised checks against a plain loop over their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weatherglass.anomaly import rule_limits
from weatherglass.qc import series_checks
from weatherglass.records import VARIABLES

SERIES = st.lists(
    st.tuples(st.sampled_from([0.1, 0.25, 1.0, 4.0]), st.sampled_from([None, 10.0, 10.0, 10.5, 40.0])),
    min_size=1,
    max_size=40,
)


def arrays(series: list[tuple[float, float | None]]) -> tuple[np.ndarray, np.ndarray]:
    times = np.cumsum([gap for gap, _ in series])
    column = np.array([np.nan if value is None else value for _, value in series])
    return times, np.column_stack([column] * 4)


@given(SERIES)
@settings(deadline=None)
def test_steps_are_changes_since_the_last_known_value(series: list[tuple[float, float | None]]) -> None:
    times, values = arrays(series)
    steps = series_checks.check_steps(times, values)
    last: tuple[float, float] | None = None
    for i, (time, value) in enumerate(zip(times, values[:, 3], strict=True)):
        checked = fails = False
        if last and np.isfinite(value) and time - last[0] <= 3:
            checked = True
            fails = abs(value - last[1]) > 10.3 * max(1, (time - last[0]) ** 0.5)
        assert (steps.checked[i, 3], steps.failed[i, 3]) == (checked, fails)
        if fails:
            assert steps.failed[i, 0] == (abs(value - last[1]) > 19.4 * max(0.5, (time - last[0]) ** 0.5))
        if np.isfinite(value):
            last = (time, value)


@pytest.mark.parametrize("seconds", [5, 60, 300])
@pytest.mark.parametrize(("rise", "fails"), [(9.0, False), (23.8, True)])
def test_a_fast_rise_fails_at_every_interval(seconds: int, rise: float, fails: bool) -> None:
    """The temperature rises within 75 s, or from one reading to the next, stays, and falls."""
    count = 3600 // seconds
    times = np.arange(count) * seconds / 3600
    values = np.full((count, 4), 20.0)
    heated = slice(count // 3, count * 2 // 3)
    values[heated, 0] += rise * np.minimum(1, (np.arange(count)[heated] - count // 3 + 1) * seconds / 75)
    failed = np.flatnonzero(series_checks.check_steps(times, values).failed[:, 0])
    during_rise = (failed >= heated.start) & (failed <= heated.start + 75 // seconds)
    at_fall = (failed >= heated.stop) & (failed <= heated.stop + 1)
    assert bool(during_rise.any()) is bool(at_fall.any()) is fails
    assert (during_rise | at_fall).all()


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=30))
@settings(deadline=None)
def test_hourly_values_are_compared_with_the_hour_before_only(column: list[float]) -> None:
    values = np.column_stack([np.array(column)] * 4)
    steps = series_checks.check_steps(np.arange(len(column), dtype=float), values)
    np.testing.assert_array_equal(steps.failed[1:, 0], np.abs(np.diff(values[:, 0])) > 19.4)


@given(SERIES)
@settings(deadline=None)
def test_flat_lines_are_runs_of_equal_values_without_a_gap(series: list[tuple[float, float | None]]) -> None:
    times, values = arrays(series)
    flat_lines = series_checks.check_flat_lines(times, values)
    since = last = None
    count = 0
    for i, (time, value) in enumerate(zip(times, values[:, 0], strict=True)):
        if not np.isfinite(value):
            assert (flat_lines.hours[i, 0], flat_lines.readings[i, 0]) == (0, 0)
            continue
        if last is None or last[1] != value or time - last[0] > 3:
            since, count = time, 0
        last, count = (time, value), count + 1
        assert (flat_lines.hours[i, 0], flat_lines.readings[i, 0]) == (time - since, count)


@pytest.mark.parametrize(
    ("variable", "value", "hours"),
    [("temperature", 5.0, 6), ("humidity", 97.0, 12), ("pressure", 1000.0, 12), ("wind_speed", 0.5, 24)],
)
def test_a_flat_line_fails_from_its_limit_on(variable: str, value: float, hours: int) -> None:
    values = np.full((hours + 1, 4), np.nan)
    values[:, VARIABLES.index(variable)] = value
    failed = series_checks.check_flat_lines(np.arange(hours + 1.0), values).failed
    assert np.argwhere(failed).tolist() == [[hours, VARIABLES.index(variable)]]


@pytest.mark.parametrize(("variable", "value"), [("humidity", 98.0), ("wind_speed", 0.49)])
def test_fog_and_calm_may_be_constant(variable: str, value: float) -> None:
    values = np.full((72, 4), np.nan)
    values[:, VARIABLES.index(variable)] = value
    flat_lines = series_checks.check_flat_lines(np.arange(72.0), values)
    assert not flat_lines.failed.any()
    assert flat_lines.checked[:, VARIABLES.index(variable)].all()


def test_a_saturated_sensor_is_not_a_fault() -> None:
    values = np.array([[-89.2, 103.0, 331.0, 0.0], [np.nan, 106.0, 299.9, 75.1]])
    assert series_checks.outside_range(values).tolist() == [[False] * 4, [False, True, True, True]]
    np.testing.assert_array_equal(series_checks.usable_values(values), [[-89.2, 100.0, 331.0, 0.0], [np.nan] * 4])


@pytest.mark.parametrize("batch", [(), (1,)])
def test_a_reason_has_the_unit_of_its_variable_with_or_without_a_batch_axis(batch: tuple[int, ...]) -> None:
    """Index (moment, variable), or (station, moment, variable); pressure rises by 5 in 30 minutes, then is constant."""
    times = np.array([0.0, 0.5, 1.5])
    values = np.array([[10.0, 60.0, 1000.0, 3.0], [10.0, 60.0, 1005.0, 3.0], [10.0, 60.0, 1005.0, 3.0]])
    times, values = (np.broadcast_to(array, (2,) * len(batch) + array.shape) for array in (times, values))
    step = series_checks.check_steps(times, values).describe((*batch, 1, 2)).split()
    assert step[step.index("+5.0") :][:5] == ["+5.0", "hPa", "in", "30", "minutes;"]
    flat = series_checks.check_flat_lines(times, values).describe((*batch, 2, 2), 1005.0).split()
    assert flat[flat.index("1005.0") :][:5] == ["1005.0", "hPa", "for", "1", "h;"]


def test_a_dew_point_above_the_record_is_inconsistent() -> None:
    readings = np.array([[35.0, 100.0, np.nan, np.nan], [35.1, 100.0, np.nan, np.nan], [40.0, np.nan, np.nan, np.nan]])
    assert series_checks.exceeds_dew_point(readings - np.array([0.01, 0, 0, 0])).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("check", "variable"), [(check, v) for check, names in series_checks.EXCLUDED_VARIABLES.items() for v in names]
)
def test_a_reason_names_the_excluded_variable(check: str, variable: str) -> None:
    assert variable.replace("_", " ") in series_checks.describe_exclusion(check, VARIABLES.index(variable))


@pytest.mark.parametrize(("step", "hours"), [(0.1, 6), (1.0, 12), (5 / 9, 12)])
def test_whole_degrees_may_be_constant_for_longer(step: float, hours: int) -> None:
    rng = np.random.default_rng(0)
    values = np.full((1, 24 * 40, 4), np.nan, np.float32)
    values[0, :, 0] = np.round(np.cumsum(rng.normal(size=24 * 40)) / step) * step
    flat = rule_limits.fit(values, budget=0.1)[1]
    assert flat[0].tolist() == [hours, 18, 24, 36]


def test_flat_lines_of_days_do_not_raise_the_limit() -> None:
    rng = np.random.default_rng(0)
    values = (np.array([10.0, 60.0, 1000.0, 4.0]) + rng.normal(size=(1, 24 * 70, 4)) * 0.5).astype(np.float32)
    for begin in range(100, 1600, 150):
        values[0, begin : begin + 120, 0] = 10.0
    _, flat = rule_limits.fit(values, budget=0.1)
    np.testing.assert_allclose(flat, [[6, 12, 12, 24]])


def test_only_a_station_that_keeps_exceeding_a_limit_gets_a_higher_one() -> None:
    rng = np.random.default_rng(0)
    values = (np.array([10.0, 60.0, 1000.0, 4.0]) + rng.normal(size=(2, 24 * 70, 4)) * 0.5).astype(np.float32)
    values[1, ::50, 2] += 25.0
    step, flat = rule_limits.fit(values, budget=0.1)
    np.testing.assert_allclose(step[0], [19.4, 50.0, 15.0, 10.3])
    np.testing.assert_allclose(flat, [[6, 12, 12, 24]] * 2)
    assert step[1, 2] > 24
    times = np.arange(values.shape[1], dtype=float)[None]
    assert series_checks.check_steps(times, values, step).failed[1, :, 2].sum() <= 1


def test_impossible_steps_do_not_raise_the_limit() -> None:
    rng = np.random.default_rng(0)
    clean = (np.array([10.0, 60.0, 1000.0, 4.0]) + rng.normal(size=(1, 24 * 70, 4)) * 0.5).astype(np.float32)
    clean[0, ::50, 2] += 25.0
    faulty = clean.copy()
    modes = np.arange(clean.shape[1]) // 5 % 2 == 1
    faulty[0, modes, 2] -= 120.0  # sea-level pressure in one half of the history, station pressure in the other
    without, _ = rule_limits.fit(clean, budget=0.1)
    step, _ = rule_limits.fit(faulty, budget=0.1)
    assert 24 < step[0, 2] <= series_checks.LARGEST_STEP[2]
    np.testing.assert_allclose(step, without, rtol=0.05)
    switches = np.flatnonzero(np.diff(modes)) + 1
    times = np.arange(clean.shape[1], dtype=float)[None]
    assert series_checks.check_steps(times, faulty, step).failed[0, switches, 2].all()


def test_a_station_of_record_changes_may_have_them_again() -> None:
    """The temperatures of Spearfish on 22 January 1943, as hourly values: -20 °C, 12 °C and -20 °C."""
    values = np.tile(np.array([5.0, 60.0, 1000.0, 4.0]), (1, 24 * 70, 1))
    values[0, :, 0] += np.arange(24 * 70) % 3
    for hour in range(100, 1600, 100):
        values[0, hour : hour + 3, 0] = [-20.0, 12.2, -20.0]
    step, _ = rule_limits.fit(values.astype(np.float32), budget=0.1)
    event = np.array([[[-20.0, 60.0, 1000.0, 4.0], [12.2, 60.0, 1000.0, 4.0], [-20.0, 60.0, 1000.0, 4.0]]])
    assert not series_checks.check_steps(np.arange(3.0)[None], event, step).failed.any()
    assert series_checks.check_steps(np.arange(3.0)[None], event).failed[0, 1:, 0].all()
