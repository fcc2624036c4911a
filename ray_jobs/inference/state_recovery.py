"""What a new process reads before it serves: the shared hours, and the features processed before its start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from weatherglass.consumer.record_reader import POLL_MS, RecordReader, log_skipped
from weatherglass.consumer.validation import InvalidRecord, parse_record
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.records import Hour
from weatherglass.settings import Settings

log = logging.getLogger(__name__)

REPLAY = timedelta(minutes=30)
"""How far back features are replayed after a restart: the hour in progress depends on 20 minutes, plus lateness."""
REPLAY_MIN_RECORDS = 2_000
"""Per partition. Restores the last predictions of stations that seldom report, at little cost."""
REPLAY_MAX_RECORDS = 50_000
"""Per partition."""
COPIED_TOGETHER = 20
"""Invalid hours in one transaction, each of up to 1 MB."""

RejectedRecords = list[tuple[ConsumerRecord, RejectionReason]]
"""Invalid records with the reason."""


def partitions_of(reader: RecordReader, topic: str, heartbeat: Callable[[], None]) -> list[TopicPartition]:
    """All partitions of a topic; waits for a topic that does not exist yet."""
    while not (partitions := reader.partitions_of(topic)):
        log.warning("waiting for the topic %s, which the DAG bootstrap_topics creates", topic)
        heartbeat()
        reader.poll(POLL_MS * 5)
    return partitions


class HourlyTopicReader:
    """Reads the whole of `weather-hours`: the past before this process started, and the hours of the other shards.

    Args:
        add: is called with each hour.
        copy: is called with invalid records beyond the offsets `copied`; None for all shards but one.
    """

    def __init__(
        self,
        reader: RecordReader,
        settings: Settings,
        add: Callable[[Hour], None],
        heartbeat: Callable[[], None],
        copy: Callable[[RejectedRecords], None] | None,
        copied: Callable[[TopicPartition], int | None],
    ):
        self._reader, self._settings, self._add, self._heartbeat = reader, settings, add, heartbeat
        self.partitions = partitions_of(reader, settings.topics.hours, heartbeat)
        reader.assign(self.partitions)
        self._copy = copy
        self._copied = {tp: copied(tp) or 0 for tp in self.partitions} if copy else {}

    def catch_up(self) -> int:
        """Read up to the current end of the topic; the number of hours read. Skips invalid records with a warning."""
        count = 0
        rejected: RejectedRecords = []
        now = datetime.now(UTC)
        for record in self._reader.read_to_end(self._heartbeat):
            if record.value is None:
                continue  # deletes the hour when the topic is compacted
            try:
                self._add(parse_record(Hour, record.value, now, self._settings))
                count += 1
            except InvalidRecord as error:
                log_skipped(record, error)
                rejected.append((record, error.reason))
            if len(rejected) == COPIED_TOGETHER:
                self._copy_new(rejected)
                rejected = []
        self._copy_new(rejected)
        self._copied = {}  # everything that follows is new
        return count

    def _copy_new(self, rejected: RejectedRecords) -> None:
        new = [
            (record, reason)
            for record, reason in rejected
            if record.offset >= self._copied.get(TopicPartition(record.topic, record.partition), 0)
        ]
        if new and self._copy:
            self._copy(new)


def replay_features(
    reader: RecordReader, starts: Mapping[TopicPartition, int], heartbeat: Callable[[], None]
) -> Iterator[ConsumerRecord]:
    """Read the features before the given offsets again: the last `REPLAY` of each partition, oldest first.

    Leaves the reader at these offsets. Times are the timestamps of the records, so a service that was down for hours
    replays from where it stopped, not from now.
    """
    firsts = {tp: reader.first_offset(tp) for tp in starts}
    newest: dict[TopicPartition, int] = {}
    for tp, start in starts.items():
        reader.seek(tp, max(firsts[tp], start - 1))
    for record in reader.read_to(starts, heartbeat):
        newest[TopicPartition(record.topic, record.partition)] = record.timestamp
    for tp, start in starts.items():
        since = int(newest.get(tp, 0) - REPLAY.total_seconds() * 1000)
        recent = reader.first_offset_since(tp, since) if tp in newest else None
        first = start if recent is None else recent
        first = max(min(first, start - REPLAY_MIN_RECORDS), start - REPLAY_MAX_RECORDS, firsts[tp])
        reader.seek(tp, min(first, start))
    yield from reader.read_to(starts, heartbeat)
    for tp, start in starts.items():
        reader.seek(tp, start)
