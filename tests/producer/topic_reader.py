"""Reads a topic without the code under test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaConsumer, TopicPartition

from weatherglass.records import Observation
from weatherglass.topics import RAW


class TopicReader:
    """Reads the records added to a topic since the creation of the reader."""

    def __init__(self, bootstrap_servers: str, topic: str = RAW):
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None, enable_auto_commit=False)
        self._partitions = [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic)]
        self._start = self._consumer.end_offsets(self._partitions)

    def count(self) -> int:
        """Records since the start."""
        end = self._consumer.end_offsets(self._partitions)
        return sum(end[partition] - self._start[partition] for partition in self._partitions)

    def records(self) -> list:
        """All records since the start, in order within each partition."""
        self._consumer.assign(self._partitions)
        for partition, offset in self._start.items():
            self._consumer.seek(partition, offset)
        records, count = [], self.count()
        while len(records) < count:
            for batch in self._consumer.poll(timeout_ms=1000).values():
                records += batch
        return records

    def observations(self) -> list[Observation]:
        return [Observation.from_json(record.value) for record in self.records()]

    def close(self) -> None:
        self._consumer.close()


@contextmanager
def reading(bootstrap_servers: str) -> Iterator[TopicReader]:
    reader = TopicReader(bootstrap_servers)
    try:
        yield reader
    finally:
        reader.close()
