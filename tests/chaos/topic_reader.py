"""Reads whole topics, and the offsets that consumer groups have committed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition

from tests.chaos.log_reader import StoredRecord, read_log

RAW, FEATURES, HOURS = "weather-raw", "weather-features", "weather-hours"
PREDICTIONS, SHADOW, REJECTED = "weather-predictions", "weather-shadow", "weather-rejected"
GUIDANCE = "weather-guidance"
OFFSETS = "__consumer_offsets"
TOPICS = (RAW, FEATURES, HOURS, PREDICTIONS, SHADOW, GUIDANCE, REJECTED, OFFSETS)
OFFSET_KEY_VERSIONS = (0, 1)
"""Other versions of keys on the topic of offsets describe the members of groups."""


@dataclass(frozen=True)
class CommittedOffset:
    group: str
    topic: str
    partition: int
    offset: int


def read_topics(port: int) -> dict[str, list[StoredRecord]]:
    """All records of all topics at their present ends, by topic; of each, by partition and offset."""
    return {topic: read_topic(port, topic) for topic in TOPICS}


def read_topic(port: int, topic: str) -> list[StoredRecord]:
    """All records of a topic at its present end, by partition and offset."""
    consumer = KafkaConsumer(bootstrap_servers=f"127.0.0.1:{port}")
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    finally:
        consumer.close()
    return [record for one in partitions for record in read_log(port, topic, one.partition, starts[one], ends[one])]


def committed_offset(record: StoredRecord) -> CommittedOffset | None:
    """The offset in a record of `__consumer_offsets`; None if it contains another fact, or deletes one."""
    if record.marker is not None or not record.key or not record.value:
        return None
    (version,) = struct.unpack_from(">h", record.key)
    if version not in OFFSET_KEY_VERSIONS:
        return None
    group, position = _text(record.key, 2)
    topic, position = _text(record.key, position)
    (partition,) = struct.unpack_from(">i", record.key, position)
    (offset,) = struct.unpack_from(">q", record.value, 2)
    return CommittedOffset(group, topic, partition, offset)


def _text(content: bytes, position: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">h", content, position)
    begin = position + 2
    return content[begin : begin + size].decode(), begin + size
