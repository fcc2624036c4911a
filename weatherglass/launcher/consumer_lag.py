"""How far the consumer groups are behind."""

from __future__ import annotations

from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.structs import TopicPartition

from weatherglass.settings import Settings
from weatherglass.topics import GROUPS


def lags(settings: Settings) -> dict[tuple[str, str], int | None]:
    """Messages between what a group has committed and the end, by (group, topic); None before its first commit.

    A partition without a commit counts from its start. Raises `kafka.errors.KafkaError` if the broker does not answer.
    """
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers, request_timeout_ms=5000)
    try:
        topics = {topic for topics in GROUPS.values() for topic in topics}
        partitions = [
            TopicPartition(topic["name"], partition["partition_index"])
            for topic in admin.describe_topics(sorted(topics))
            if topic["error_code"] == 0
            for partition in topic["partitions"]
        ]
        first = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        last = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        found: dict[tuple[str, str], int | None] = {}
        for group, its_topics in GROUPS.items():
            committed = admin.list_group_offsets({group: None}).get(group, {})
            for topic in its_topics:
                mine = [p for p in partitions if p.topic == topic]
                known = any(p in committed for p in mine)
                found[group, topic] = (
                    sum(
                        last[p].offset - max(committed[p].offset if p in committed else 0, first[p].offset)
                        for p in mine
                    )
                    if known
                    else None
                )
        return found
    finally:
        admin.close()
