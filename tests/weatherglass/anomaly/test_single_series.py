from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weatherglass.anomaly import self_prediction
from weatherglass.anomaly.single_series import SOFT_CHECKS, SeriesEvent, SeriesReport, TooFewReadings, check_series
from weatherglass.anomaly.single_series import _increasing as increasing
from weatherglass.records import VARIABLES, Quality

NOW = datetime(2024, 1, 1, tzinfo=UTC)
START = np.datetime64("2023-05-01T00:00:00", "s")


def weather(minutes: int, days: int, seed: int = 3, calm: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of a station without faults: a daily cycle and a slow random walk, rounded like a sensor.

    In calm weather the wind is mostly 0 and the air often saturated.
    """
    rng = np.random.default_rng(seed)
    count = days * 1440 // minutes
    times = START + np.arange(count) * np.timedelta64(minutes * 60, "s")
    day = 2 * np.pi * np.arange(count) * minutes / 1440
    keeps = 0.995 ** (minutes / 10)
    walk = np.zeros((count, 4))
    for i in range(1, count):
        walk[i] = keeps * walk[i - 1] + rng.normal(size=4) * np.sqrt(1 - keeps**2)
    values = np.column_stack(
        [15 - 6 * np.cos(day), 60 + 15 * np.cos(day), np.full(count, 1000.0), 4 - 1.5 * np.cos(day)]
    )
    values += walk * [2.0, 6.0, 5.0, 0.8] + rng.normal(size=(count, 4)) * [0.1, 1.0, 0.1, 0.3]
    values[:, 1], values[:, 3] = np.clip(values[:, 1], 5, 97), np.maximum(values[:, 3], 0.6)
    if calm:
        values[:, 1], values[:, 3] = np.minimum(values[:, 1] + 37, 100), np.maximum(values[:, 3] - 6, 0)
    return times, np.column_stack([np.round(values[:, v], digits) for v, digits in enumerate((1, 0, 1, 1))])


def check(times: np.ndarray, values: np.ndarray, budget: float = 0.1) -> SeriesReport:
    return check_series(times, values, np.arange(1, len(times) + 1), budget, NOW)


def events_at(report: SeriesReport, subject: str, time: np.datetime64) -> list[SeriesEvent]:
    at = time.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    return [event for event in report.events if event.subject == subject and event.onset <= at <= event.end]


@pytest.mark.parametrize("minutes", [10, 60])
def test_skipped_checks_are_reported(minutes: int) -> None:
    report = check(*weather(minutes, 30))
    for name in SOFT_CHECKS:
        assert {*report.checks[name].values()} <= {Quality.OK, Quality.FAILED}
    assert report.checks["neighbours"]["all"] is Quality.NOT_CHECKED
    assert {"neighbours", "climatology"} <= report.not_checked.keys()


@pytest.mark.parametrize("calm", [False, True])
def test_the_budget_controls_the_number_of_soft_flags_in_ordinary_weather(calm: bool) -> None:
    series = [weather(60, 60, seed, calm) for seed in range(3)]
    numbers = {}
    for budget in (0.05, 0.3, 2.0):
        reports = [check(*one, budget) for one in series]
        numbers[budget] = sum(event.check in SOFT_CHECKS for report in reports for event in report.events)
        expected = budget * sum(report.weeks for report in reports) * len(VARIABLES)
        assert numbers[budget] <= 1.5 * expected + 3 * expected**0.5
    assert numbers[0.05] < numbers[0.3] < numbers[2.0] > 0.2 * expected


@pytest.mark.parametrize("minutes", [10, 60])
@pytest.mark.parametrize(
    ("variable", "disturb", "check_name", "number"),
    [
        (0, lambda v: np.full_like(v, 91.0), "range", "91.0 °C"),
        (0, lambda v: v + 24.0, "step", "°C"),
        (1, lambda v: v + 1000.0, "range", "100 %"),
        (2, lambda v: v + 10.0, "self_prediction", "hPa"),
    ],
)
def test_an_injected_fault_is_flagged_at_its_time(
    minutes: int, variable: int, disturb: Callable[[np.ndarray], np.ndarray], check_name: str, number: str
) -> None:
    times, values = weather(minutes, 30)
    at = len(times) // 2
    values[at, variable] = disturb(values[at, variable])
    events = events_at(check(times, values), VARIABLES[variable], times[at])
    assert check_name in {event.check for event in events}
    assert any(number in event.reason for event in events if event.check == check_name)
    assert all(0.5 <= event.severity <= 1 for event in events)


def test_a_saturated_sensor_is_not_a_fault() -> None:
    times, values = weather(10, 30)
    fog = slice(2000, 2000 + 6 * 20)
    values[1940 : fog.start, 1] = np.linspace(values[1940, 1], 100.0, 60).round()
    values[fog, 1] = 103.0
    values[fog.stop : fog.stop + 60, 1] = np.linspace(100.0, values[fog.stop + 60, 1], 60).round()
    report = check(times, values)
    assert report.checks["range"]["humidity"] is Quality.OK
    assert not [event for event in report.events if event.check == "flat_line" and event.subject == "humidity"]


def test_a_stuck_sensor_is_one_event_from_its_first_constant_value() -> None:
    times, values = weather(10, 14)
    values[500 : 500 + 9 * 6, 0] = values[500, 0]
    stuck = [event for event in check(times, values).events if event.check == "flat_line"]
    assert len(stuck) == 1
    assert stuck[0].onset == times[500].astype(datetime).replace(tzinfo=UTC)
    assert stuck[0].subject == "temperature"


def test_equal_values_on_both_sides_of_a_gap_are_not_a_flat_line() -> None:
    times, values = weather(10, 14)
    keep = np.ones(len(times), bool)
    keep[500:600] = False
    values[490:620, 0] = 12.0
    assert not [event for event in check(times[keep], values[keep]).events if event.check == "flat_line"]


def test_a_clock_that_goes_back_is_reported_with_its_line() -> None:
    times, values = weather(10, 10)
    times[700] -= np.timedelta64(5 * 3600, "s")
    clock = [event for event in check(times, values).events if event.check == "clock"]
    assert [event.line for event in clock] == [701]
    assert "17,400 s" in clock[0].reason
    future = times.copy()
    future[-1] = np.datetime64("2031-01-01T00:00:00", "s")
    event = check(future, values).events[-1]
    assert (event.check, event.line) == ("clock", len(times))
    repeated = times.copy()
    repeated[-1] = repeated[-2]
    assert [(event.check, event.line) for event in check(repeated, values).events[-1:]] == [("clock", len(times))]
    for wrong in (times, future, repeated):
        severities = [event.severity for event in check(wrong, values).events if event.check == "clock"]
        assert set(severities) == {1.0}, "a clock error violates a rule"


@pytest.mark.parametrize(
    "wrong", ["2150-01-01T00:00:00", "2023-12-01T00:00:00", "2023-05-10T00:00:00", "1970-01-01T00:00:00"]
)
@pytest.mark.parametrize("at", [2, 700])
def test_a_wrong_time_affects_only_its_own_reading(wrong: str, at: int) -> None:
    times, values = weather(10, 10)
    times[at] = np.datetime64(wrong, "s")
    values[900, 0] = 91.0
    events = check(times, values).events
    clock = [(event.line, event.readings) for event in events if event.check == "clock"]
    assert clock == [(at + 1, 1)]
    assert [event.line for event in events if event.check == "range"] == [901]


@given(st.lists(st.integers(0, 12), min_size=2, max_size=8))
def test_the_fewest_readings_are_left_out(hours: list[int]) -> None:
    times = START + np.array(hours) * np.timedelta64(3600, "s")
    longest = max(
        len(kept)
        for size in range(1, len(hours) + 1)
        for kept in itertools.combinations(hours, size)
        if all(a < b for a, b in itertools.pairwise(kept))
    )
    kept = increasing(times)
    assert len(kept) == longest
    assert (np.diff(times[kept]).astype(int) > 0).all()


def test_a_first_time_decades_earlier_does_not_lengthen_the_axis(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def predict(values: np.ndarray, *arguments: float) -> self_prediction.SelfPrediction | None:
        lengths.append(len(values))
        return original(values, *arguments)

    original = self_prediction.predict
    monkeypatch.setattr(self_prediction, "predict", predict)
    times, values = weather(10, 30)
    values[2000, 2] += 10.0
    times[0] = np.datetime64("1970-01-01T00:00:00", "s")
    assert "self_prediction" in {event.check for event in events_at(check(times, values), "pressure", times[2000])}
    assert lengths[0] < len(times) + (self_prediction.LONG_GAP_HOURS + 168) * 6


def test_readings_that_are_all_in_the_future_are_too_few() -> None:
    times, values = weather(60, 2)
    with pytest.raises(TooFewReadings):
        check(times + np.timedelta64(365 * 3, "D"), values)


def pulses(seconds: int, hours: float, height: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray, list[slice]]:
    """Times, temperatures (the other variables are missing) of a quiet room, and the readings that are heated."""
    rng = np.random.default_rng(seed)
    count = int(hours * 3600 / seconds)
    values = np.full((count, 4), np.nan)
    values[:, 0] = 27.7 + np.sin(np.arange(count) * seconds / 7200) + rng.normal(size=count) * 0.05
    heated = [slice(begin, begin + 240 // seconds) for begin in (count // 5, count // 2, count * 4 // 5)]
    for period in heated:
        shape = np.minimum(1, np.arange(1, 240 // seconds + 1) * seconds / 75)
        values[period, 0] += height * shape
    return START + np.arange(count) * np.timedelta64(seconds, "s"), values.round(2), heated


@pytest.mark.parametrize("height", [3.0, 23.8])
def test_a_heater_held_to_a_sensor_is_flagged_as_long_as_it_lasts(height: float) -> None:
    times, values, heated = pulses(5, 6, height)
    flagged = np.zeros(len(times), bool)
    report = check(times, values)
    for event in report.events:
        first, last = (np.datetime64(time.replace(tzinfo=None), "s") for time in (event.onset, event.end))
        flagged |= (times >= first) & (times <= last)
    faulty = np.zeros(len(times), bool)
    for period in heated:
        faulty[period] = True
    assert (flagged & faulty).sum() / faulty.sum() > 0.85
    assert (flagged & faulty).sum() / flagged.sum() > 0.85
    checks = {event.check for event in report.events}
    assert ("step" in checks) == (height > 19.4)


def test_missing_variables_cause_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for times, values in (pulses(5, 6, 3.0)[:2], weather(60, 40)):
            values[:, 1:] = np.nan
            assert check(times, values).checks["recent_level"]["temperature"] is not Quality.NOT_CHECKED


@pytest.mark.parametrize(
    ("reports", "checked"),
    [
        (lambda hour: hour >= 0, {"recent_level", "self_prediction"}),
        (lambda hour: (hour % 24 >= 7) & (hour % 24 < 19), {"recent_level", "self_prediction"}),
        (lambda hour: hour % 9 == 0, set()),
        (lambda hour: hour == 500, set()),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_a_variable_is_checked_or_has_a_reason(
    reports: Callable[[np.ndarray], np.ndarray], checked: set[str], constant: bool
) -> None:
    times, values = weather(60, 60)
    values[~reports(np.arange(len(values))), 0] = np.nan
    if constant:
        values[np.isfinite(values[:, 0]), 0] = 12.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = check(times, values)
    for name in SOFT_CHECKS:
        assert (report.checks[name]["temperature"] is not Quality.NOT_CHECKED) == (name in checked)
        assert (f"{name} of temperature" in report.not_checked) == (name not in checked)


@pytest.mark.parametrize("shape", ["level_shift", "drift"])
def test_a_level_shift_and_a_drift_are_flagged(shape: str) -> None:
    times, values = weather(60, 60)
    day = 24
    begin, end = 20 * day, 23 * day
    share = 1.0 if shape == "level_shift" else np.linspace(0, 1, end - begin)
    values[begin:end, 2] += np.round(30.0 * share, 1)
    found = [event for event in check(times, values, 0.2).events if event.subject == "pressure"]
    assert "recent_level" in {event.check for event in found}
    assert any(
        times[begin] <= np.datetime64(event.onset.replace(tzinfo=None)) < times[end]
        for event in found
        if event.check == "recent_level"
    )


def test_a_short_series_has_no_self_prediction() -> None:
    report = check(*(array[:200] for array in weather(10, 2)))
    assert report.checks["self_prediction"]["temperature"] is Quality.NOT_CHECKED
    assert "self_prediction of temperature" in report.not_checked
    assert "recent_level of temperature" not in report.not_checked
    with pytest.raises(TooFewReadings, match="1"):
        check(*(array[:1] for array in weather(10, 2)))
