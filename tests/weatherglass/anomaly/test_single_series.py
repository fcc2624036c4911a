from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from weatherglass.anomaly.single_series import SeriesEvent, SeriesVerdict, TooFewReadings, check_series
from weatherglass.records import VARIABLES, Quality

NOW = datetime(2024, 1, 1, tzinfo=UTC)
START = np.datetime64("2023-05-01T00:00:00", "s")


def weather(minutes: int, days: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of an ordinary station: a daily cycle and a slow walk, in a sensor's resolution."""
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
    return times, np.column_stack([np.round(values[:, v], digits) for v, digits in enumerate((1, 0, 1, 1))])


def judged(times: np.ndarray, values: np.ndarray, budget: float = 0.1) -> SeriesVerdict:
    return check_series(times, values, np.arange(1, len(times) + 1), budget, NOW)


def found(verdict: SeriesVerdict, what: str, time: np.datetime64) -> list[SeriesEvent]:
    at = time.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    return [event for event in verdict.events if event.what == what and event.onset <= at <= event.end]


@pytest.mark.parametrize("minutes", [10, 60])
def test_ordinary_weather_is_left_in_peace_and_what_cannot_be_checked_is_said(minutes: int) -> None:
    verdict = judged(*weather(minutes, 30))
    assert len(verdict.events) <= 4, verdict.events
    assert {*verdict.checks["own_past"].values()} <= {Quality.OK, Quality.FAILED}
    assert verdict.checks["neighbours"]["all"] is Quality.NOT_CHECKED
    assert {"neighbours", "climatology"} <= verdict.not_checked.keys()


@pytest.mark.parametrize("minutes", [10, 60])
@pytest.mark.parametrize(
    ("variable", "wrong", "check_name", "words"),
    [
        (0, lambda v: np.full_like(v, 91.0), "range", "outside"),
        (0, lambda v: v + 24.0, "step", "jumped"),
        (1, lambda v: v + 1000.0, "range", "outside"),
        (2, lambda v: v + 10.0, "own_past", "own past"),
    ],
)
def test_an_injected_fault_is_found_where_it_is(
    minutes: int, variable: int, wrong: object, check_name: str, words: str
) -> None:
    times, values = weather(minutes, 30)
    at = len(times) // 2
    values[at, variable] = wrong(values[at, variable])  # type: ignore[operator]
    events = found(judged(times, values), VARIABLES[variable], times[at])
    assert check_name in {event.check for event in events}
    assert any(words in event.reason for event in events)
    assert all(0.5 <= event.severity <= 1 for event in events)


def test_a_stuck_sensor_is_one_event_from_when_it_stopped() -> None:
    times, values = weather(10, 14)
    values[500 : 500 + 9 * 6, 0] = values[500, 0]
    stuck = [event for event in judged(times, values).events if event.check == "flat_line"]
    assert len(stuck) == 1
    assert stuck[0].onset == times[500].astype(datetime).replace(tzinfo=UTC)
    assert "without any change" in stuck[0].reason


def test_a_value_on_both_sides_of_a_gap_has_not_stood_still() -> None:
    times, values = weather(10, 14)
    keep = np.ones(len(times), bool)
    keep[500:600] = False
    values[490:620, 0] = 12.0
    assert not [event for event in judged(times[keep], values[keep]).events if event.check == "flat_line"]


def test_a_clock_that_goes_back_is_named_with_its_row() -> None:
    times, values = weather(10, 10)
    times[700] -= np.timedelta64(5 * 3600, "s")
    clock = [event for event in judged(times, values).events if event.check == "clock"]
    assert [event.row for event in clock] == [701]
    assert "17,400 s" in clock[0].reason
    future = times.copy()
    future[-1] = np.datetime64("2031-01-01T00:00:00", "s")
    assert "future" in judged(future, values).events[-1].reason


def test_a_short_series_says_what_it_lacks() -> None:
    verdict = judged(*(array[:200] for array in weather(10, 2)))
    assert verdict.checks["own_past"]["temperature"] is Quality.NOT_CHECKED
    assert "7 days" in verdict.not_checked["own_past of temperature"]
    with pytest.raises(TooFewReadings, match="1 readings"):
        judged(*(array[:1] for array in weather(10, 2)))
