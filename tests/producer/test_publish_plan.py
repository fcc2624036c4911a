"""What a poll publishes of a response, given what was published before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.api_response import ParsedResponse, StationObservations
from producer.polling import PollResult
from producer.publish_plan import PublishPlan, plan_publishing
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.store.published import Published

NOW = datetime(2026, 7, 14, 12, 20, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def observation(age: int, temperature: float = 1.0) -> Observation:
    return Observation(station_id="jfk", timestamp=NOW - age * MINUTE, temperature=temperature)


def plan(
    response: dict[int, float],
    before: dict[int, float],
    origin: Origin = Origin.METAR,
    source: Origin | None = None,
    horizon: timedelta = 240 * HOUR,
    lines: list[str] | None = None,
) -> PublishPlan:
    """The plan for a response; both are age in minutes -> temperature."""
    steps = [observation(age, temperature) for age, temperature in sorted(response.items(), reverse=True)]
    parsed = ParsedResponse({"jfk": StationObservations(steps[-1], (), tuple(steps[:-1]))})
    measured = frozenset({"jfk"} if origin is Origin.METAR else ())
    known = {o.timestamp: o for o in (observation(*item) for item in before.items())}
    published = {"jfk": Published(known[max(known)], source or origin, known)} if known else {}
    result = PollResult(parsed, {"jfk": origin}, measured)
    return plan_publishing(result, published, NOW - horizon, NOW, (lines if lines is not None else []).append)


def ages(observations: list[Observation]) -> list[float]:
    return [(NOW - o.timestamp) / MINUTE for o in observations]


def test_the_present_report_is_new_and_those_of_a_gap_are_filled() -> None:
    result = plan({29: 1, 89: 1, 149: 1, 209: 1}, {149: 1})
    assert (ages(result.new), ages(result.filled), ages(result.revised)) == ([29], [89], [])


def test_a_late_correction_of_an_earlier_report_is_a_revision() -> None:
    result = plan({29: 1, 89: 7, 149: 1}, {29: 1, 89: 1, 149: 1})
    assert (ages(result.new), ages(result.filled), result.repeated) == ([], [], 1)
    assert [(o.timestamp, o.temperature) for o in result.revised] == [(NOW - 89 * MINUTE, 7)]


def test_a_correction_arrives_together_with_a_newer_report() -> None:
    result = plan({29: 1, 89: 7}, {89: 1})
    assert (ages(result.new), ages(result.revised)) == ([29], [89])


def test_a_report_that_arrives_after_a_newer_one_is_published() -> None:
    assert ages(plan({29: 1, 50: 1, 89: 1}, {29: 1, 89: 1}).filled) == [50]


def test_reports_before_the_first_published_one_are_not_published() -> None:
    result = plan({29: 1, 89: 1, 149: 7}, {29: 1, 89: 1})
    assert (ages(result.filled), ages(result.revised)) == ([], [])


def test_a_correction_that_the_stream_does_not_accept_any_more_is_not_published() -> None:
    assert ages(plan({29: 1, 89: 7}, {29: 1, 89: 1}, horizon=HOUR).revised) == []


def test_the_past_of_open_meteo_is_not_revised_except_its_newest_step() -> None:
    result = plan({5: 9, 20: 9, 35: 9}, {5: 1, 20: 1, 50: 1}, Origin.OPEN_METEO)
    assert (ages(result.revised), ages(result.filled)) == ([5], [])


@pytest.mark.parametrize("source", [Origin.OPEN_METEO, Origin.REPLAY])
def test_a_change_of_the_source_is_logged_and_revises_nothing(source: Origin) -> None:
    lines: list[str] = []
    result = plan({29: 1, 50: 9, 80: 9}, {50: 1, 89: 1}, source=source, lines=lines)
    assert (ages(result.new), ages(result.revised), ages(result.filled)) == ([29], [], [])
    assert result.changes == {(source, Origin.METAR): ["jfk"]}
    assert [line for line in lines if line.startswith("WARNING") and "jfk" in line and source.value in line]


def test_a_source_without_a_newer_observation_changes_nothing_yet() -> None:
    assert plan({50: 9}, {20: 1}, source=Origin.OPEN_METEO).changes == {}


@given(
    truth=st.dictionaries(st.integers(0, 170), st.integers(0, 3), min_size=1),
    polls=st.lists(st.tuples(st.sets(st.integers(0, 170)), st.booleans()), min_size=1, max_size=5),
)
def test_after_any_polls_everything_published_has_its_last_value_and_a_repeated_poll_publishes_nothing(
    truth: dict[int, int], polls: list[tuple[set[int], bool]]
) -> None:
    """A broker that keeps the last value of each time; a poll sees some reports, corrected or not."""
    broker: dict[int, float] = {}
    for seen, corrected in polls:
        response = {age: float(value + 10 * corrected) for age, value in truth.items() if age in seen}
        if not response:
            continue
        first = plan(response, broker)
        for o in (*first.new, *first.filled, *first.revised):
            broker[round((NOW - o.timestamp) / MINUTE)] = o.temperature or 0.0
        oldest = max(broker)
        assert all(broker[age] == value for age, value in response.items() if age < oldest)
        again = plan(response, broker)
        assert (again.new, again.filled, again.revised) == ([], [], [])
