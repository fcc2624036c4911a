"""Metrics of Kafka: availability, consumer lag in records and seconds, rejected records, topic sizes."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict, deque
from datetime import datetime, timedelta

from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.kafka_connection import client_options
from weatherglass.net import accepts_connections
from weatherglass.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT_MS = 4000
DESCRIBE_INTERVAL = timedelta(minutes=1)
"""How often partitions and topic sizes are read."""
MAX_END_OFFSETS = 400
MAX_REJECTED_PER_POLL = 2000


class LagAge:
    """How long records have waited: the times at which end offsets of a partition were first seen."""

    def __init__(self) -> None:
        self._ends: deque[tuple[datetime, int]] = deque(maxlen=MAX_END_OFFSETS)

    @property
    def first_end(self) -> int:
        """The first end offset seen. The lag of a group without a committed offset counts from there."""
        return self._first

    def add_end(self, now: datetime, end: int) -> None:
        if not self._ends:
            self._first = end
        if not self._ends or end != self._ends[-1][1]:
            self._ends.append((now, end))

    def since(self, committed: int) -> datetime:
        """When the oldest record from offset `committed` on was first seen. There must be such a record."""
        return next(at for at, end in self._ends if end > committed)


class KafkaMetrics:
    """`collect` takes some tens of milliseconds, and up to a few seconds if the broker does not respond."""

    def __init__(self, settings: Settings):
        self._settings, self._servers = settings, settings.bootstrap_servers
        self._topics = topics = settings.topics
        self._transactional = (topics.predictions, topics.shadow)
        """Topics written in transactions, each of which ends with a marker: an offset that consumers do not commit."""
        self._admin: KafkaAdminClient | None = None
        self._partitions: list[TopicPartition] = []
        self._bytes: dict[str, int] = {}
        self._described_at: datetime | None = None
        self._lag_ages: defaultdict[TopicPartition, LagAge] = defaultdict(LagAge)
        self._rejected: Counter[str] = Counter()
        self._rejected_offset: int | None = None

    def collect(self, sample: MetricSample) -> None:
        if not any(accepts_connections(address) for address in self._servers.split(",")):
            self.close()
            sample.put(m.KAFKA_UP, 0)
            return
        try:
            self._collect(sample)
            sample.put(m.KAFKA_UP, 1)
        except (KafkaError, OSError) as error:
            log.warning("Kafka broker at %s: %s: %s", self._servers, type(error).__name__, error)
            self.close()
            sample.put(m.KAFKA_UP, 0)

    def close(self) -> None:
        admin, self._admin = self._admin, None
        if admin:
            admin.close()

    def _collect(self, sample: MetricSample) -> None:
        if self._admin is None:
            self._admin = KafkaAdminClient(
                **client_options(self._settings),
                request_timeout_ms=TIMEOUT_MS,
                bootstrap_timeout_ms=TIMEOUT_MS,
                client_id="weatherglass-monitor",
            )
            self._described_at = None
        if self._described_at is None or sample.at - self._described_at >= DESCRIBE_INTERVAL:
            self._describe(self._admin)
            self._described_at = sample.at
        for topic, size in self._bytes.items():
            sample.put(m.TOPIC_BYTES, size, self._topics.role(topic))
        offsets = self._admin.list_partition_offsets(dict.fromkeys(self._partitions, OffsetSpec.LATEST))
        ends = {partition: info.offset for partition, info in offsets.items()}
        records: Counter[str] = Counter()
        for partition, end in ends.items():
            self._lag_ages[partition].add_end(sample.at, end)
            records[partition.topic] += end
        for topic, count in records.items():
            sample.put(m.TOPIC_RECORDS, count, self._topics.role(topic))
        for group, topics in self._topics.groups.items():
            self._put_lag(sample, self._admin, group, topics, ends)
        self._read_rejected(ends.get(TopicPartition(self._topics.rejected, 0)))
        for reason in sorted(self._rejected):
            sample.put(m.REJECTED_RECORDS, self._rejected[reason], reason)

    def _describe(self, admin: KafkaAdminClient) -> None:
        described = [
            t for t in admin.describe_topics([topic.name for topic in self._topics.table]) if t["error_code"] == 0
        ]
        self._partitions = [TopicPartition(t["name"], p["partition_index"]) for t in described for p in t["partitions"]]
        sizes: Counter[str] = Counter()
        for broker in admin.describe_log_dirs([t["name"] for t in described]):
            for folder in broker["log_dirs"]:
                for topic in folder["topics"]:
                    sizes[topic["name"]] += sum(partition["partition_size"] for partition in topic["partitions"])
        self._bytes = dict(sizes)

    def _put_lag(
        self,
        sample: MetricSample,
        admin: KafkaAdminClient,
        group: str,
        topics: tuple[str, ...],
        ends: dict[TopicPartition, int],
    ) -> None:
        committed = admin.list_group_offsets({group: None}).get(group, {})
        for topic in topics:
            labels = self._topics.role(group), self._topics.role(topic)
            partitions = [p for p in ends if p.topic == topic]
            if not any(p in committed for p in partitions):
                continue  # the group has not read this topic yet
            longest = 0.0
            for partition in partitions:
                lag_age = self._lag_ages[partition]
                read = committed[partition].offset if partition in committed else lag_age.first_end
                lag = max(0, ends[partition] - read)
                sample.put(m.LAG_RECORDS, lag, *labels, str(partition.partition))
                if lag > (1 if topic in self._transactional else 0):
                    longest = max(longest, (sample.at - lag_age.since(read)).total_seconds())
            sample.put(m.LAG_SECONDS, longest, *labels)

    def _read_rejected(self, end: int | None) -> None:
        """Count records rejected since the start of the monitor by the reason in their header."""
        if end is None:
            return
        if self._rejected_offset is None or end < self._rejected_offset:
            self._rejected_offset = end
        if end == self._rejected_offset:
            return
        partition = TopicPartition(self._topics.rejected, 0)
        consumer = KafkaConsumer(
            **client_options(self._settings), enable_auto_commit=False, bootstrap_timeout_ms=TIMEOUT_MS
        )
        try:
            consumer.assign([partition])
            consumer.seek(partition, self._rejected_offset)
            polled = consumer.poll(timeout_ms=TIMEOUT_MS, max_records=MAX_REJECTED_PER_POLL)
            while records := polled.get(partition, ()):
                for record in records:
                    reason = dict(record.headers).get("reason") or b"unknown"
                    self._rejected[reason.decode("ascii", "replace")[:40]] += 1
                # What was fetched already: a marker, which ends a transaction, is only passed over by the next poll.
                polled = consumer.poll(timeout_ms=0, max_records=MAX_REJECTED_PER_POLL)
            self._rejected_offset = consumer.position(partition)
        finally:
            consumer.close()
