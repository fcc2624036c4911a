"""The messages of simulated stations do not depend on when the schedule is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.replay.clock import ReplayClock
from producer.simulation.schedule import MAX_BATCH, Position, Schedule, time_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def messages(schedule: Schedule, position: Position, times: list[datetime]) -> tuple[list[tuple[int, float]], Position]:
    found = []
    for now in times:
        stations, seconds, position = schedule.due(position, now)
        found += zip(stations.tolist(), seconds.tolist(), strict=True)
    return found, position


@given(
    st.integers(1, 50),
    st.floats(0.1, 10),
    st.lists(st.floats(0.01, 5), min_size=1, max_size=10),
)
def test_the_messages_are_the_same_however_often_they_are_asked_for(
    stations: int, rate: float, pauses: list[float]
) -> None:
    schedule, start = Schedule(stations, rate, ReplayClock(NOW, NOW, 1.0)), Position(NOW.timestamp(), 0)
    times = [NOW + timedelta(seconds=float(seconds)) for seconds in np.cumsum(pauses)]
    several, after = messages(schedule, start, times)
    once, _ = messages(schedule, start, [times[-1]])
    assert abs(len(several) - len(once)) <= 1  # rounding, if a message is due at the last time
    for (station, seconds), (expected, due) in zip(several, once, strict=False):
        assert station == expected
        assert seconds == pytest.approx(due, abs=1e-5)
    assert [station for station, _ in several] == [number % stations for number in range(len(several))]
    np.testing.assert_allclose(np.diff([seconds for _, seconds in several]), 1 / rate, atol=1e-5)
    assert after.number == len(several)
    assert after.seconds > times[-1].timestamp() - 1e-5


def test_behind_the_present_the_clock_runs_faster_and_the_rate_of_messages_is_the_same() -> None:
    began = NOW - timedelta(hours=10)
    schedule, position = Schedule(10, 5.0, ReplayClock(NOW, began, 60.0)), Position(began.timestamp(), 0)
    _, _, position = schedule.due(position, NOW)
    stations, seconds, position = schedule.due(position, NOW + timedelta(seconds=20))
    assert len(stations) == pytest.approx(100, abs=1)
    np.testing.assert_allclose(np.diff(seconds), 60 / 5.0)
    assert time_of(position.seconds) == pytest.approx(began + timedelta(seconds=1200), abs=timedelta(seconds=25))
    later = NOW + timedelta(hours=1)
    for _ in range(2000):
        _, seconds, position = schedule.due(position, later)
    assert position.seconds == pytest.approx(later.timestamp(), abs=0.3)


def test_a_batch_is_bounded_and_the_next_one_continues() -> None:
    schedule, start = Schedule(7, 1e6, ReplayClock(NOW, NOW, 1.0)), Position(NOW.timestamp(), 0)
    now = NOW + timedelta(seconds=1)
    first, _, position = schedule.due(start, now)
    second, _, _ = schedule.due(position, now)
    assert len(first) == len(second) == MAX_BATCH
    assert second[0] == MAX_BATCH % 7


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"seconds": "x", "number": 1},
        {"seconds": -1, "number": 0},
        {"seconds": 1e300, "number": 0},
        {"seconds": 1, "number": -1},
    ],
)
def test_an_invalid_position_is_refused(content: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Position.parse(content)
