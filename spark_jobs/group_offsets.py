"""Spark's offsets as others may see them, and what the broker no longer has."""

from __future__ import annotations

import logging
from datetime import datetime

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from spark_jobs.batches import Offsets
from weatherglass.topics import SPARK_GROUP

log = logging.getLogger(__name__)

PATIENCE_MS = 5000
"""A broker that is away must not hold the job up: the next batch's offsets include these."""


class GroupOffsets:
    """Commits the stream's offsets to its consumer group, which it never joins, so that every tool sees its lag."""

    def __init__(self, bootstrap_servers: str):
        self._servers = bootstrap_servers
        self._admin: KafkaAdminClient | None = None

    def commit(self, offsets: Offsets) -> None:
        """Best effort: the checkpoint is the truth, and a failure is only logged."""
        wanted = {
            TopicPartition(topic, int(partition)): OffsetAndMetadata(offset, "", -1)
            for topic, partitions in offsets.items()
            for partition, offset in partitions.items()
        }
        try:
            for partition, error in self._connected().alter_group_offsets(SPARK_GROUP, wanted).items():
                if error.errno:
                    log.warning("group %s: no commit of %s: %s", SPARK_GROUP, partition, error.__name__)
        except (KafkaError, OSError) as error:
            log.warning("the offsets of group %s could not be committed: %s", SPARK_GROUP, error)
            self.close()

    def deleted(self, offsets: Offsets) -> list[str]:
        """In words, for each partition, what was deleted from the broker beyond `offsets`, before it was read."""
        wanted = {
            TopicPartition(topic, int(partition)): offset
            for topic, partitions in offsets.items()
            for partition, offset in partitions.items()
        }
        earliest = self._connected().list_partition_offsets(dict.fromkeys(wanted, OffsetSpec.EARLIEST))
        return [
            f"{earliest[partition].offset - offset} messages of {partition.topic}-{partition.partition} were deleted "
            f"before they were read (offsets {offset} to {earliest[partition].offset - 1}): retention is too short, "
            "or the job was down for too long"
            for partition, offset in wanted.items()
            if earliest[partition].offset > offset
        ]

    def arrived_since(self, topic: str, time: datetime) -> dict[str, int]:
        """Each partition's offset of the first message that arrived at `time` or later; its end where there is none."""
        admin = self._connected()
        (described,) = admin.describe_topics([topic])
        partitions = [TopicPartition(topic, one["partition_index"]) for one in described["partitions"]]
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        found = admin.list_partition_offsets(dict.fromkeys(partitions, int(time.timestamp() * 1000)))
        return {str(at.partition): (one if one.offset >= 0 else ends[at]).offset for at, one in found.items()}

    def missing(self, topics: list[str]) -> list[str]:
        """Which of the topics the broker does not have."""
        there = self._connected().list_topics()
        return [topic for topic in topics if topic not in there]

    def close(self) -> None:
        if self._admin:
            self._admin.close()
            self._admin = None

    def _connected(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = KafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=PATIENCE_MS)
        return self._admin
