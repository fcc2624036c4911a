"""What a new process reads before it serves: the shared hours, and the features processed before its start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from pydantic import ValidationError

from weatherglass.records import Hour
from weatherglass.topics import HOURS

log = logging.getLogger(__name__)

POLL_MS = 200
REPLAY = timedelta(minutes=30)
"""How far back features are replayed after a restart: the hour in progress depends on 20 minutes, plus lateness."""
REPLAY_MIN_RECORDS = 2_000
"""Per partition. Restores the last predictions of stations that seldom report, at little cost."""
REPLAY_MAX_RECORDS = 50_000
"""Per partition."""


def partitions_of(consumer: KafkaConsumer, topic: str, heartbeat: Callable[[], None]) -> list[TopicPartition]:
    """All partitions of a topic; waits for a topic that does not exist yet."""
    while not (numbers := consumer.partitions_for_topic(topic)):
        log.warning("waiting for the topic %s, which the DAG bootstrap_topics creates", topic)
        heartbeat()
        consumer.poll(timeout_ms=POLL_MS * 5)
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def read_until(
    consumer: KafkaConsumer, ends: dict[TopicPartition, int], heartbeat: Callable[[], None]
) -> Iterator[ConsumerRecord]:
    """Records from the current positions up to the given end offsets, exclusive.

    The consumer must be assigned exactly the partitions of `ends`.
    """
    while any((consumer.position(tp) or 0) < end for tp, end in ends.items()):
        for tp, records in consumer.poll(timeout_ms=POLL_MS).items():
            yield from (record for record in records if record.offset < ends[tp])
        heartbeat()


class HourlyTopicReader:
    """Reads the whole of `weather-hours`: the past before this process started, and the hours of the other shards."""

    def __init__(self, consumer: KafkaConsumer, add: Callable[[Hour], None], heartbeat: Callable[[], None]):
        self._consumer, self._add, self._heartbeat = consumer, add, heartbeat
        self._partitions = partitions_of(consumer, HOURS, heartbeat)
        consumer.assign(self._partitions)
        consumer.seek_to_beginning(*self._partitions)

    def catch_up(self) -> int:
        """Read up to the current end of the topic; the number of hours read. Skips invalid records with a warning."""
        count = 0
        for record in read_until(self._consumer, self._consumer.end_offsets(self._partitions), self._heartbeat):
            try:
                if record.value is not None:
                    self._add(Hour.from_json(record.value))
                    count += 1
            except ValidationError as error:
                log.warning("skipping invalid record: %s offset %s: %s", record.topic, record.offset, error)
        return count


def replay_features(
    consumer: KafkaConsumer, committed: dict[TopicPartition, int], heartbeat: Callable[[], None]
) -> Iterator[ConsumerRecord]:
    """Read the features before the committed offsets again: the last `REPLAY` of each partition, oldest first.

    Leaves the consumer at the committed offsets. Times are the timestamps of the records, so a service that was down
    for hours replays from where it stopped, not from now.
    """
    partitions = list(committed)
    if not partitions:
        return
    beginnings = consumer.beginning_offsets(partitions)
    newest: dict[TopicPartition, int] = {}
    for tp, end in committed.items():
        consumer.seek(tp, max(beginnings[tp], end - 1))
    for record in read_until(consumer, committed, heartbeat):
        newest[TopicPartition(record.topic, record.partition)] = record.timestamp
    since = {tp: int(time - REPLAY.total_seconds() * 1000) for tp, time in newest.items()}
    by_time = consumer.offsets_for_times(since) if since else {}
    for tp, end in committed.items():
        first = by_time[tp].offset if by_time.get(tp) else end
        start = max(min(first, end - REPLAY_MIN_RECORDS), end - REPLAY_MAX_RECORDS, beginnings[tp])
        consumer.seek(tp, min(start, end))
    yield from read_until(consumer, committed, heartbeat)
    for tp, end in committed.items():
        consumer.seek(tp, end)
