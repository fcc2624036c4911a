"""Transactions from small logs, and the boundaries of the checks of inference and lateness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.check_observations import CLOSING_DELAY, arrivals, check_rejected
from tests.chaos.check_predictions import check_predictions
from tests.chaos.log_reader import StoredRecord
from tests.chaos.parsed import MINUTE, window_ends
from tests.chaos.synthetic import GROUP, PRODUCER, Run, iso, milliseconds, offset_record
from tests.chaos.topic_reader import FEATURES, OFFSETS, PREDICTIONS, RAW, REJECTED
from tests.chaos.transactions import assign, segments, torn, transactions
from tests.chaos.violations import Kind

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
OTHER = PRODUCER + 1


class Log:
    """Writes transactions with their times in milliseconds."""

    def __init__(self) -> None:
        self.run = Run()

    def windows(self, *seconds: float) -> None:
        """Leading windows of station `a` whose last observations are these seconds after noon."""
        for number, second in enumerate(seconds):
            last = NOON + timedelta(seconds=second)
            features = {"last_observation": iso(last), "count": number}
            content = {"station_id": "a", "window_end": iso(window_ends(last)[0]), "aggregated_features": features}
            self.run.append(FEATURES, "a", content, 0)

    def transaction(
        self,
        time: int,
        offset: int | None,
        *seconds: float,
        committed: bool = True,
        producer: int = PRODUCER,
        group: str = GROUP,
    ) -> None:
        """Predictions of station `a`, then an offset of partition 0, five and ten milliseconds later the markers."""
        written: dict[str, Any] = {"producer": producer, "transactional": True, "visible": committed}
        for second in seconds:
            content = {"station_id": "a", "timestamp": iso(NOON + timedelta(seconds=second))}
            self.run.append(PREDICTIONS, "a", content, time, [("inputs", f"{second}")], **written)
        topics = [PREDICTIONS] if seconds else []
        if offset is not None:
            key, value = offset_record(FEATURES, 0, offset)
            self.run.append(OFFSETS, key.replace(GROUP.encode(), group.encode()), value, time + 5, **written)
            topics.append(OFFSETS)
        for topic in topics:
            self.run.end_transaction(topic, 0, time + 10, committed)
            self.run.topics[topic][-1] = replace(self.run.topics[topic][-1], producer=producer)

    def kinds(self) -> list[Kind]:
        return [violation.kind for violation in check_predictions(self.run.topics)]


@pytest.fixture
def log() -> Log:
    return Log()


def test_two_producers_on_one_partition_have_segments_of_their_own(log: Log) -> None:
    log.transaction(100, None, 1)
    first, marker = log.run.topics[PREDICTIONS]
    second = replace(first, producer=OTHER)
    found = segments([first, second, replace(marker, producer=OTHER, marker=False), marker])
    assert [(one.producer, one.committed, len(one.records)) for one in found] == [
        (PRODUCER, True, 1),
        (OTHER, False, 1),
    ]


def test_a_segment_belongs_to_the_transaction_of_its_producer(log: Log) -> None:
    log.transaction(100, 1, 1)
    log.transaction(130, 2, 2, producer=OTHER)
    log.transaction(160, 3, 3)
    found = transactions(log.run.topics[OFFSETS], GROUP)
    assert assign(found, segments(log.run.topics[PREDICTIONS])) == []
    assert [[len(s.records) for s in one.segments] for one in found] == [[1], [1], [1]]
    assert [one.producer for one in found] == [PRODUCER, OTHER, PRODUCER]


def test_the_range_after_an_aborted_transaction_begins_where_the_last_committed_one_ended(log: Log) -> None:
    for time, offset, committed in ((100, 4, True), (200, 9, False), (300, 9, True)):
        log.transaction(time, offset, committed=committed)
    found = transactions(log.run.topics[OFFSETS], GROUP)
    assert [one.ranges[FEATURES, 0] for one in found] == [(0, 4), (4, 9), (4, 9)]


def test_offsets_of_another_group_are_not_a_transaction_of_this_one(log: Log) -> None:
    log.transaction(100, 4, group="another-group-x1")
    assert transactions(log.run.topics[OFFSETS], GROUP) == []


@pytest.mark.parametrize(
    ("time", "producer", "is_torn"),
    [(100, PRODUCER, True), (100, OTHER, False), (200, PRODUCER, False), (0, PRODUCER, False)],
    ids=["same", "other producer", "after", "before"],
)
def test_an_aborted_segment_is_part_of_the_transaction_whose_offsets_lie_between(
    log: Log, time: int, producer: int, is_torn: bool
) -> None:
    log.transaction(100, 1)
    found = transactions(log.run.topics[OFFSETS], GROUP)
    log.transaction(time, None, 1, committed=False, producer=producer)
    assert bool(torn(found, segments(log.run.topics[PREDICTIONS]))) == is_torn


def test_a_window_that_is_read_again_needs_no_second_prediction(log: Log) -> None:
    log.windows(10, 10, 5)
    log.transaction(100, 1, 10)
    log.transaction(200, 3)
    assert log.kinds() == []


def test_of_a_batch_only_the_newest_leading_window_needs_a_prediction(log: Log) -> None:
    log.windows(10, 70, 30)
    log.transaction(100, 3, 70)
    assert log.kinds() == []


def test_an_aborted_batch_does_not_count_as_read(log: Log) -> None:
    log.windows(10)
    log.transaction(100, 1, 10, committed=False)
    log.transaction(200, 1)
    assert log.kinds() == [Kind.LOST]


def test_a_prediction_of_an_aborted_attempt_is_not_a_duplicate(log: Log) -> None:
    log.windows(10)
    log.transaction(100, 1, 10, committed=False)
    log.transaction(200, 1, 10)
    assert log.kinds() == []


@pytest.mark.parametrize(("offset", "expected"), [(2, []), (3, [Kind.PARTIAL])])
def test_the_end_of_the_log_is_the_highest_offset(log: Log, offset: int, expected: list[Kind]) -> None:
    log.windows(10, 70)
    log.transaction(100, offset, 70)
    assert log.kinds() == expected


@pytest.mark.parametrize(("offset", "expected"), [(2, []), (1, [Kind.PARTIAL])])
def test_an_offset_may_be_committed_again_but_not_a_lower_one(log: Log, offset: int, expected: list[Kind]) -> None:
    log.windows(10, 70)
    log.transaction(100, 2, 70)
    log.transaction(200, offset)
    assert log.kinds() == expected


def test_a_window_more_than_five_days_old_needs_no_prediction(log: Log) -> None:
    log.windows(10)
    content = {"station_id": "b", "window_end": iso(NOON - timedelta(days=5)), "aggregated_features": {}}
    content["aggregated_features"] = {"last_observation": iso(NOON - timedelta(days=5, seconds=1))}
    log.transaction(100, 1, 10)
    log.run.append(FEATURES, "b", content, 0)
    key, value = offset_record(FEATURES, 1, 1)
    log.run.append(OFFSETS, key, value, 205, producer=PRODUCER, transactional=True)
    log.run.end_transaction(OFFSETS, 0, 210)
    assert log.kinds() == []


@pytest.mark.parametrize(("seconds_before", "expected"), [(0, []), (1, [Kind.LOST])])
def test_an_observation_is_late_if_its_last_window_ended_ten_minutes_before_the_newest(
    seconds_before: int, expected: list[Kind]
) -> None:
    run = Run()
    newest = NOON - timedelta(seconds=seconds_before)
    late = NOON - CLOSING_DELAY - 5 * MINUTE  # the last window of this time ends exactly ten minutes before noon
    for time, arrived in ((newest, 1), (late, 2)):
        run.append(RAW, "a", {"station_id": "a", "timestamp": iso(time)}, milliseconds(NOON) + arrived)
    copy = run.topics[RAW][1]
    origin = {"reason": "late", "topic": RAW, "partition": "0", "offset": "1"}
    run.append(REJECTED, "a", copy.value, 0, list(origin.items()))
    assert [one.kind for one in check_rejected(run.topics, arrivals(run.topics))] == expected


@pytest.mark.parametrize(
    ("copied", "header", "is_copy"),
    [
        (slice(None), [], True),
        (slice(5), [("truncated", "99")], True),
        (slice(5), [], False),
        (slice(0), [("truncated", "99")], True),
    ],
)
def test_a_copy_has_the_original_or_its_beginning(
    copied: slice, header: Sequence[tuple[str, str]], is_copy: bool
) -> None:
    run = Run()
    original: StoredRecord = run.append(RAW, "a", "not an observation", 0)
    origin = {"reason": "malformed", "topic": RAW, "partition": "0", "offset": "0"}
    run.append(REJECTED, "a", (original.value or b"")[copied], 0, [*origin.items(), *header])
    assert bool(arrivals(run.topics).reasons) == is_copy
