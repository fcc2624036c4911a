"""The status of a station against an independent calculation for each quarter of an hour."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from weatherglass.qc.station_status import ReceivedReading, Status, station_day, usual_interval
from weatherglass.record_headers import Origin

DAY = date(2026, 1, 5)
START = datetime(2026, 1, 5, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
READINGS = st.dictionaries(st.integers(-48, 48), st.tuples(st.integers(0, 20), st.booleans()))
"""Half hour of the day -> quarters of an hour until the reading arrived, and whether it passed the check."""
Readings = dict[int, tuple[int, bool]]


def received(found: Readings) -> list[ReceivedReading]:
    times = {half: START + 2 * half * QUARTER for half in sorted(found)}
    return [
        ReceivedReading(time, time + found[half][0] * QUARTER, {"step": found[half][1]}) for half, time in times.items()
    ]


def expected_status(found: Readings, quarter: int, interval: float) -> Status:
    """The status in a quarter of the day; `interval` in quarters of an hour."""
    times = sorted(2 * half for half in found)
    at = max((time for time in times if time <= quarter), default=None)
    following = min((time for time in times if time > quarter), default=96)
    silent = following - (at if at is not None else 0) > 3 * interval
    if at is None:
        return Status.SILENT if silent else Status.UP
    delay, passed = found[at // 2]
    if silent and quarter >= at + interval:
        return Status.SILENT
    if not passed:
        return Status.SUSPECT
    return Status.LATE if delay > 2 * interval else Status.UP


def expected_interval(found: Readings) -> float:
    """The median of at least three steps of the day, else of the day before, else an hour; in quarters of an hour."""
    for chosen in ([half for half in found if 0 <= half < 48], [half for half in found if half < 0]):
        steps = [2 * (later - earlier) for earlier, later in pairwise(sorted(chosen))]
        if len(steps) >= 3:
            return median(steps)
    return 4


@given(READINGS)
@example(dict.fromkeys((-3, -2, -1, 0, 48), (0, True)))
@example({half: (4 if half == 10 else 5, True) for half in range(3, 48) if half not in (21, 22, 31, 32, 33)})
def test_each_quarter_has_the_status_of_an_independent_calculation(found: Readings) -> None:
    """First example: too few readings for an interval. Second: one reading arrives two intervals after its time and the
    others later, and three intervals without a reading, at the start or later, are not a silence.
    """
    day = station_day("denver", DAY, received(found), START + timedelta(days=2), START - timedelta(days=9))
    interval = expected_interval(found)
    assert day.interval_seconds == interval * 900
    statuses = [
        next(period.status for period in day.log if period.start <= START + quarter * QUARTER < period.end)
        for quarter in range(96)
    ]
    # Within a quarter the status can only change if an interval ends there.
    assert statuses == [expected_status(found, quarter, interval) for quarter in range(96)]
    assert [START, *(period.end for period in day.log)] == [*(period.start for period in day.log), START + 96 * QUARTER]
    assert all(period.start < period.end for period in day.log)
    assert all(one.status is not other.status for one, other in pairwise(day.log))
    passed = [found[half][1] for half in found if 0 <= half < 48]
    assert (day.received, day.expected) == (len(passed), max(round(96 / interval), len(passed)))
    assert day.failed == ({"step": passed.count(False) / len(passed)} if passed else {})


def test_timeliness_is_the_median_and_the_percentile_of_the_delays() -> None:
    delays = [timedelta(minutes=minute) for minute in (*range(40, 0, -2), *range(1, 41, 2))]
    readings = [ReceivedReading(START + n * QUARTER, START + n * QUARTER + delay) for n, delay in enumerate(delays)]
    day = station_day("denver", DAY, readings, START + timedelta(days=2), START - timedelta(days=9))
    assert (day.timeliness_median, day.timeliness_p95) == (20.5 * 60, 39 * 60)


def test_a_late_period_counts_half_as_a_problem() -> None:
    found = {half: (5 if half < 24 else 0, half < 36) for half in range(48)}
    day = station_day("denver", DAY, received(found), START + timedelta(days=2), START - timedelta(days=9))
    assert day.problem_share == pytest.approx(0.5 / 2 + 1 / 4)


def test_the_interval_needs_three_steps_and_is_at_least_an_hour_at_an_airport() -> None:
    times = [START, START + QUARTER, START + 3 * QUARTER, START + 6 * QUARTER]
    assert usual_interval(times[:3], None) is None
    assert usual_interval(times, None) == 2 * QUARTER
    assert usual_interval(times, Origin.METAR) == timedelta(hours=1)
    assert usual_interval([START + 8 * n * QUARTER for n in range(4)], Origin.METAR) == timedelta(hours=2)
