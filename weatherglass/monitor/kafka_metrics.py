"""Kafka: whether it answers, what waits for whom and since when, what is rejected, how large topics are."""

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
from weatherglass.net import answers
from weatherglass.settings import Settings
from weatherglass.topics import GROUPS, PREDICTIONS, REJECTED, SHADOW, TOPICS

log = logging.getLogger(__name__)

PATIENCE_MS = 4000
PARTITIONS_EVERY = timedelta(minutes=1)
"""How often topics are described anew, and measured."""
MARKED = (PREDICTIONS, SHADOW)
"""Written in transactions: each ends with a marker, an offset that no consumer reads or has to commit."""
MARKS_KEPT = 400
MOST_REJECTED = 2000


class LagAge:
    """Since when records have waited: the times at which a partition's end was first seen beyond an offset."""

    def __init__(self) -> None:
        self._marks: deque[tuple[datetime, int]] = deque(maxlen=MARKS_KEPT)

    @property
    def first_end(self) -> int:
        """The end when it was first seen; what a group has not committed counts from there."""
        return self._first

    def mark(self, now: datetime, end: int) -> None:
        if not self._marks:
            self._first = end
        if not self._marks or end != self._marks[-1][1]:
            self._marks.append((now, end))

    def since(self, committed: int) -> datetime:
        """When the oldest record at or behind `committed` was first seen. There must be one."""
        return next(at for at, end in self._marks if end > committed)


class KafkaMetrics:
    """`look` takes some tens of milliseconds, and up to a few seconds where the broker does not answer."""

    def __init__(self, settings: Settings):
        self._servers = settings.bootstrap_servers
        self._admin: KafkaAdminClient | None = None
        self._partitions: list[TopicPartition] = []
        self._bytes: dict[str, int] = {}
        self._described: datetime | None = None
        self._waiting: defaultdict[TopicPartition, LagAge] = defaultdict(LagAge)
        self._rejected: Counter[str] = Counter()
        self._rejected_from: int | None = None

    def look(self, sample: MetricSample) -> None:
        if not any(answers(address) for address in self._servers.split(",")):
            self.close()
            sample.put(m.KAFKA_UP, 0)
            return
        try:
            self._look(sample)
            sample.put(m.KAFKA_UP, 1)
        except (KafkaError, OSError) as error:
            log.warning("the broker at %s: %s: %s", self._servers, type(error).__name__, error)
            self.close()
            sample.put(m.KAFKA_UP, 0)

    def close(self) -> None:
        admin, self._admin = self._admin, None
        if admin:
            admin.close()

    def _look(self, sample: MetricSample) -> None:
        if self._admin is None:
            self._admin = KafkaAdminClient(
                bootstrap_servers=self._servers,
                request_timeout_ms=PATIENCE_MS,
                bootstrap_timeout_ms=PATIENCE_MS,
                client_id="weatherglass-watcher",
            )
            self._described = None
        if self._described is None or sample.at - self._described >= PARTITIONS_EVERY:
            self._describe(self._admin)
            self._described = sample.at
        for topic, size in self._bytes.items():
            sample.put(m.TOPIC_BYTES, size, topic)
        found = self._admin.list_partition_offsets(dict.fromkeys(self._partitions, OffsetSpec.LATEST))
        ends = {partition: info.offset for partition, info in found.items()}
        records: Counter[str] = Counter()
        for partition, end in ends.items():
            self._waiting[partition].mark(sample.at, end)
            records[partition.topic] += end
        for topic, count in records.items():
            sample.put(m.TOPIC_RECORDS, count, topic)
        for group in GROUPS:
            self._lag(sample, self._admin, group, ends)
        self._read_rejected(ends.get(TopicPartition(REJECTED, 0)))
        for reason in sorted(self._rejected):
            sample.put(m.REJECTED, self._rejected[reason], reason)

    def _describe(self, admin: KafkaAdminClient) -> None:
        described = [t for t in admin.describe_topics([topic.name for topic in TOPICS]) if t["error_code"] == 0]
        self._partitions = [TopicPartition(t["name"], p["partition_index"]) for t in described for p in t["partitions"]]
        sizes: Counter[str] = Counter()
        for broker in admin.describe_log_dirs([t["name"] for t in described]):
            for folder in broker["log_dirs"]:
                for topic in folder["topics"]:
                    sizes[topic["name"]] += sum(partition["partition_size"] for partition in topic["partitions"])
        self._bytes = dict(sizes)

    def _lag(self, sample: MetricSample, admin: KafkaAdminClient, group: str, ends: dict[TopicPartition, int]) -> None:
        committed = admin.list_group_offsets({group: None}).get(group, {})
        for topic in GROUPS[group]:
            partitions = [p for p in ends if p.topic == topic]
            if not any(p in committed for p in partitions):
                continue  # it has not begun to read this
            longest = 0.0
            for partition in partitions:
                waiting = self._waiting[partition]
                read = committed[partition].offset if partition in committed else waiting.first_end
                lag = max(0, ends[partition] - read)
                sample.put(m.LAG, lag, group, topic, str(partition.partition))
                if lag > (1 if topic in MARKED else 0):
                    longest = max(longest, (sample.at - waiting.since(read)).total_seconds())
            sample.put(m.LAG_SECONDS, longest, group, topic)

    def _read_rejected(self, end: int | None) -> None:
        """Count by reason what has come since the watcher's start, from the headers."""
        if end is None:
            return
        if self._rejected_from is None or end < self._rejected_from:
            self._rejected_from = end
        if end == self._rejected_from:
            return
        partition = TopicPartition(REJECTED, 0)
        consumer = KafkaConsumer(
            bootstrap_servers=self._servers, enable_auto_commit=False, bootstrap_timeout_ms=PATIENCE_MS
        )
        try:
            consumer.assign([partition])
            consumer.seek(partition, self._rejected_from)
            polled = consumer.poll(timeout_ms=PATIENCE_MS, max_records=MOST_REJECTED)
            for record in polled.get(partition, ()):
                self._rejected[dict(record.headers).get("reason", b"unknown").decode("ascii", "replace")[:40]] += 1
                self._rejected_from = record.offset + 1
        finally:
            consumer.close()
