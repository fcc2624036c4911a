"""What a new process reads before it serves: the shared hours, and the features that were answered before it."""

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
REREAD = timedelta(minutes=30)
"""How far back features are read again after a restart: the hour in progress rests on 20 minutes, and lateness."""
REREAD_AT_LEAST = 2_000
REREAD_AT_MOST = 50_000
"""Records a partition. The least is cheap and remembers the last answers of stations that seldom report."""


def partitions_of(consumer: KafkaConsumer, topic: str, beat: Callable[[], None]) -> list[TopicPartition]:
    """All partitions of a topic; waits for a topic that does not exist yet."""
    while not (numbers := consumer.partitions_for_topic(topic)):
        log.warning("there is no topic %s yet: the DAG bootstrap_topics makes it", topic)
        beat()
        consumer.poll(timeout_ms=POLL_MS * 5)
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def read_until(
    consumer: KafkaConsumer, ends: dict[TopicPartition, int], beat: Callable[[], None]
) -> Iterator[ConsumerRecord]:
    """Records from the present positions up to the given ends, exclusive; the consumer has only these partitions."""
    while any((consumer.position(tp) or 0) < end for tp, end in ends.items()):
        for tp, records in consumer.poll(timeout_ms=POLL_MS).items():
            yield from (record for record in records if record.offset < ends[tp])
        beat()


class HourlyTopicReader:
    """Follows the whole of `weather-hours`: the past before this process, and every neighbour's hours."""

    def __init__(self, consumer: KafkaConsumer, take: Callable[[Hour], None], beat: Callable[[], None]):
        self._consumer, self._take, self._beat = consumer, take, beat
        self._partitions = partitions_of(consumer, HOURS, beat)
        consumer.assign(self._partitions)
        consumer.seek_to_beginning(*self._partitions)

    def catch_up(self) -> int:
        """Take the hours up to the end of the topic as it is now; how many there were."""
        count = 0
        for record in read_until(self._consumer, self._consumer.end_offsets(self._partitions), self._beat):
            try:
                if record.value is not None:
                    self._take(Hour.from_json(record.value))
                    count += 1
            except ValidationError as error:
                log.warning("%s, offset %s is no hour: %s", record.topic, record.offset, error)
        return count


def replay_features(
    consumer: KafkaConsumer, committed: dict[TopicPartition, int], beat: Callable[[], None]
) -> Iterator[ConsumerRecord]:
    """The features before the committed offsets again: the last `REREAD` of each partition, oldest first.

    Leaves the consumer at the committed offsets. Times are those of the records, so a service that was down for
    hours looks back from where it stopped, not from now.
    """
    partitions = list(committed)
    if not partitions:
        return
    beginnings = consumer.beginning_offsets(partitions)
    newest: dict[TopicPartition, int] = {}
    for tp, end in committed.items():
        consumer.seek(tp, max(beginnings[tp], end - 1))
    for record in read_until(consumer, committed, beat):
        newest[TopicPartition(record.topic, record.partition)] = record.timestamp
    since = {tp: int(time - REREAD.total_seconds() * 1000) for tp, time in newest.items()}
    found = consumer.offsets_for_times(since) if since else {}
    for tp, end in committed.items():
        by_time = found[tp].offset if found.get(tp) else end
        start = max(min(by_time, end - REREAD_AT_LEAST), end - REREAD_AT_MOST, beginnings[tp])
        consumer.seek(tp, min(start, end))
    yield from read_until(consumer, committed, beat)
    for tp, end in committed.items():
        consumer.seek(tp, end)
