"""Runs the features job as in production: with spark-submit, in its own process group."""

from __future__ import annotations

from typing import Any

import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from benchmarks.features_driver import TIMEOUT_SECONDS, FeaturesDriver, JobFailed, ends
from weatherglass.topics import RAW, SPARK_GROUP

__all__ = ["Driver", "JobFailed", "committed", "ends", "read_all", "send"]


class Driver(FeaturesDriver):
    """The job, and what tests check of it."""

    def in_batch(self) -> bool:
        """Whether the checkpoint contains a started batch without its end, even if the job has crashed."""
        logs = (self.checkpoint / "features" / name for name in ("offsets", "commits"))
        started, committed_ = ({file.name for file in log.glob("[0-9]*")} for log in logs)
        return bool(started - committed_)

    def stop(self) -> int:
        assert self.process
        self.folder.request_stop("a test")
        return self.process.wait(TIMEOUT_SECONDS)

    def listening_addresses(self) -> set[str]:
        """The IP addresses on which processes of the job accept connections."""
        assert self.process
        submitted = psutil.Process(self.process.pid)
        return {
            connection.laddr.ip
            for process in [submitted, *submitted.children(recursive=True)]
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }


def send(servers: str, messages: list[tuple[bytes | None, bytes | None]]) -> dict[int, int]:
    """Publish (key, value) pairs to `weather-raw`; returns the end offset of each partition."""
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        for future in [producer.send(RAW, key=key, value=value) for key, value in messages]:
            future.get(120)
    finally:
        producer.close()
    return ends(servers, RAW)


def read_all(servers: str, topic: str) -> list[Any]:
    """All messages of a topic, in order within each partition."""
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        last = consumer.end_offsets(partitions)
        messages: list[Any] = []
        while any(consumer.position(partition) < last[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                messages.extend(records)
        return messages
    finally:
        consumer.close()


def committed(servers: str) -> dict[int, int]:
    """The committed offsets of Spark's consumer group, by partition."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        offsets = admin.list_group_offsets({SPARK_GROUP: None})[SPARK_GROUP]
    finally:
        admin.close()
    return {partition.partition: offset.offset for partition, offset in offsets.items()}
