"""Lag of the consumer groups."""

from __future__ import annotations

from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.structs import TopicPartition

from weatherglass.kafka_connection import client_options
from weatherglass.settings import Settings


def lags(settings: Settings) -> dict[tuple[str, str], int | None]:
    """Messages after the committed offsets, by (group, topic); None before the group's first commit.

    A partition without a committed offset counts from its first offset.

    Raises:
        kafka.errors.KafkaError: the broker does not respond.
    """
    admin = KafkaAdminClient(**client_options(settings), request_timeout_ms=5000)
    try:
        topics = {topic for topics in settings.topics.groups.values() for topic in topics}
        partitions = [
            TopicPartition(topic["name"], partition["partition_index"])
            for topic in admin.describe_topics(sorted(topics))
            if topic["error_code"] == 0
            for partition in topic["partitions"]
        ]
        first = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        last = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        lag: dict[tuple[str, str], int | None] = {}
        for group, group_topics in settings.topics.groups.items():
            committed = admin.list_group_offsets({group: None}).get(group, {})
            for topic in group_topics:
                of_topic = [p for p in partitions if p.topic == topic]
                has_commit = any(p in committed for p in of_topic)
                lag[group, topic] = (
                    sum(
                        last[p].offset - max(committed[p].offset if p in committed else 0, first[p].offset)
                        for p in of_topic
                    )
                    if has_commit
                    else None
                )
        return lag
    finally:
        admin.close()
