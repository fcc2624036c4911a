"""Commits Spark's offsets to a Kafka consumer group, and reads the offsets of the broker."""

from __future__ import annotations

import logging
import time
from datetime import datetime

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError, for_code
from kafka.structs import OffsetAndMetadata

from spark_jobs.batches import Offsets
from weatherglass.kafka_connection import client_options
from weatherglass.settings import Settings

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_MS = 5000
"""Short, so that an unavailable broker does not block the job; the next batch commits these offsets as well."""

COORDINATOR_TIMEOUT_SECONDS = 15.0
"""How long a start waits for the group coordinator; a new broker creates it on the first request."""


class GroupOffsets:
    """Commits the offsets of the stream to its consumer group, so that Kafka tools show the lag. Does not join it."""

    def __init__(self, settings: Settings):
        self._settings, self._group = settings, settings.topics.spark_group
        self._admin: KafkaAdminClient | None = None

    def commit(self, offsets: Offsets) -> bool:
        """Commit offsets; True if all were accepted. A failure is only logged: the checkpoint is authoritative."""
        requested = {
            TopicPartition(topic, int(partition)): OffsetAndMetadata(offset, "", -1)
            for topic, partitions in offsets.items()
            for partition, offset in partitions.items()
        }
        try:
            responses = self._client().alter_group_offsets(self._group, requested)
        except (KafkaError, OSError) as error:
            log.warning("Offsets of group %s could not be committed: %s", self._group, error)
            self.close()
            return False
        errors = {partition: response for partition, response in responses.items() if response.errno}
        for partition, error_type in errors.items():
            log.warning("Group %s: offset on %s not committed: %s", self._group, partition, error_type.__name__)
        return not errors

    def commit_start(self, topic: str, read: dict[str, int]) -> None:
        """Commit the starting offset of every partition before the first batch, which may be delayed.

        A job that crashed may not have committed its last batches, and a new job has committed nothing.

        Args:
            read: partition -> offset up to which the stream has read.
        """
        _, ranges = self.log_ranges(topic)
        start = {topic: {p: min(max(first, read.get(p, 0)), end) for p, (first, end) in ranges.items()}}
        limit = time.monotonic() + COORDINATOR_TIMEOUT_SECONDS
        while not self.commit(start) and time.monotonic() < limit:
            time.sleep(0.5)

    def log_ranges(self, topic: str) -> tuple[str, dict[str, tuple[int, int]]]:
        """The id of a topic, which changes if it is created again, and for each partition the range of its offsets.

        Raises:
            KafkaError: the broker does not respond, or the topic is missing.
        """
        client = self._client()
        (description,) = client.describe_topics([topic])
        if description["error_code"]:
            raise for_code(description["error_code"])
        partitions = [TopicPartition(topic, partition["partition_index"]) for partition in description["partitions"]]
        first = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        end = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        ranges = {str(p.partition): (first[p].offset, end[p].offset) for p in partitions}
        return str(description["topic_id"]), ranges

    def offsets_since(self, topic: str, time: datetime) -> dict[str, int]:
        """Each partition's offset of the first message that arrived at `time` or later; its end if there is none."""
        client, partitions = self._client(), self._partitions(topic)
        ends = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        first = client.list_partition_offsets(dict.fromkeys(partitions, int(time.timestamp() * 1000)))
        return {
            str(partition.partition): (result if result.offset >= 0 else ends[partition]).offset
            for partition, result in first.items()
        }

    def missing_topics(self, topics: list[str]) -> list[str]:
        """The topics that the broker does not have."""
        existing = self._client().list_topics()
        return [topic for topic in topics if topic not in existing]

    def close(self) -> None:
        if self._admin:
            self._admin.close()
            self._admin = None

    def _partitions(self, topic: str) -> list[TopicPartition]:
        (description,) = self._client().describe_topics([topic])
        return [TopicPartition(topic, partition["partition_index"]) for partition in description["partitions"]]

    def _client(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = KafkaAdminClient(**client_options(self._settings), request_timeout_ms=REQUEST_TIMEOUT_MS)
        return self._admin
