"""Spark's offsets as others may see them, and what the broker no longer has."""

from __future__ import annotations

import logging
import time
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

START_SECONDS = 15.0
"""How long a start waits for the group's coordinator, which a new broker has only after it was asked for."""


class GroupOffsets:
    """Commits the stream's offsets to its consumer group, which it never joins, so that every tool sees its lag."""

    def __init__(self, bootstrap_servers: str):
        self._servers = bootstrap_servers
        self._admin: KafkaAdminClient | None = None

    def commit(self, offsets: Offsets) -> bool:
        """Best effort: the checkpoint is the truth, and a failure is only logged; whether all are committed."""
        wanted = {
            TopicPartition(topic, int(partition)): OffsetAndMetadata(offset, "", -1)
            for topic, partitions in offsets.items()
            for partition, offset in partitions.items()
        }
        try:
            answers = self._connected().alter_group_offsets(SPARK_GROUP, wanted)
        except (KafkaError, OSError) as error:
            log.warning("the offsets of group %s could not be committed: %s", SPARK_GROUP, error)
            self.close()
            return False
        refused = {partition: answer for partition, answer in answers.items() if answer.errno}
        for partition, answer in refused.items():
            log.warning("group %s: no commit of %s: %s", SPARK_GROUP, partition, answer.__name__)
        return not refused

    def commit_start(self, topic: str, read: dict[str, int]) -> None:
        """Before the first batch, which may be long in coming: commit where the stream goes on, for every partition.

        A job that died may not have told of its last batches, and one that never ran has told of none.

        Args:
            read: partition -> the offset up to which the stream has read.
        """
        earliest = self._connected().list_partition_offsets(dict.fromkeys(self._partitions(topic), OffsetSpec.EARLIEST))
        there = {str(at.partition): one.offset for at, one in earliest.items()}
        start = {topic: {partition: max(first, read.get(partition, 0)) for partition, first in there.items()}}
        end = time.monotonic() + START_SECONDS
        while not self.commit(start) and time.monotonic() < end:
            time.sleep(0.5)

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
        admin, partitions = self._connected(), self._partitions(topic)
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

    def _partitions(self, topic: str) -> list[TopicPartition]:
        (described,) = self._connected().describe_topics([topic])
        return [TopicPartition(topic, one["partition_index"]) for one in described["partitions"]]

    def _connected(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = KafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=PATIENCE_MS)
        return self._admin
