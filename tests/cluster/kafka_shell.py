"""Kafka commands for the tests, run in the network of the cluster: one JSON line per command and per result.

["records", topic] | ["lag", group, topic] | ["topics"] | ["groups"] | ["publish", topic, messages]
"""

from __future__ import annotations

import base64
import json
import sys
import time
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError

SERVERS = "kafka-broker:9092"
TIMEOUT_SECONDS = 300.0


def records(topic: str) -> list[Any]:
    """Partition, offset, time, key, value and headers of each committed record; bytes in base64."""
    result: list[Any] = []
    with closing(consumer(isolation_level="read_committed", enable_auto_commit=False)) as reader:
        partitions = [TopicPartition(topic, number) for number in reader.partitions_for_topic(topic)]
        reader.assign(partitions)
        reader.seek_to_beginning(*partitions)
        ends = reader.end_offsets(partitions)
        while any(reader.position(partition) < ends[partition] for partition in partitions):
            for batch in reader.poll(1000).values():
                result += batch
    return [
        [r.partition, r.offset, r.timestamp, text(r.key), text(r.value), [[name, text(v)] for name, v in r.headers]]
        for r in result
    ]


def consumer(**options: Any) -> KafkaConsumer:
    return KafkaConsumer(bootstrap_servers=SERVERS, **options)


def admin() -> KafkaAdminClient:
    return KafkaAdminClient(bootstrap_servers=SERVERS)


def text(value: bytes | None) -> str:
    return base64.b64encode(value or b"").decode()


def lag(group: str, topic: str) -> int:
    """Number of records of the topic that the group has not committed."""
    with closing(admin()) as client, closing(consumer()) as reader:
        committed = client.list_group_offsets({group: None})[group]
        partitions = [TopicPartition(topic, number) for number in reader.partitions_for_topic(topic)]
        ends = reader.end_offsets(partitions)
    return sum(end - (committed[at].offset if at in committed else 0) for at, end in ends.items())


def topics() -> dict[str, Any]:
    """Partitions and configuration of each topic."""
    with closing(admin()) as client, closing(consumer()) as reader:
        names = [name for name in client.list_topics() if not name.startswith("__")]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        configs = client.describe_configs(resources, config_filter="all")["topic"]
        return {
            name: {
                "partitions": len(reader.partitions_for_topic(name)),
                "config": {key: entry["value"] for key, entry in configs[name].items()},
            }
            for name in names
        }


def groups() -> list[str]:
    with closing(admin()) as client:
        return sorted(group["group_id"] for group in client.list_groups())


def publish(topic: str, messages: list[dict[str, Any]]) -> int:
    """Publish messages with the station id as key; returns their number."""
    with closing(KafkaProducer(bootstrap_servers=SERVERS, acks="all")) as producer:
        for sent in [producer.send(topic, json.dumps(m).encode(), m["station_id"].encode()) for m in messages]:
            sent.get(TIMEOUT_SECONDS)
    return len(messages)


def wait_for_broker() -> None:
    """Wait until the broker responds. Raises KafkaError after the timeout."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            with closing(admin()) as client:
                client.list_topics()
            return
        except (KafkaError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    commands = {"records": records, "lag": lag, "topics": topics, "groups": groups, "publish": publish}
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        wait_for_broker()
        print(json.dumps(commands[name](*arguments)), flush=True)
