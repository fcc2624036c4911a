"""What the tests ask Kafka, run inside the cluster's network: questions and answers as JSON, a line each.

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
PATIENCE = 300.0


def records(topic: str) -> list[Any]:
    """Partition, offset, time, key, value and headers of each committed record; bytes in base64."""
    found: list[Any] = []
    with closing(consumer(isolation_level="read_committed", enable_auto_commit=False)) as reader:
        parts = [TopicPartition(topic, part) for part in reader.partitions_for_topic(topic)]
        reader.assign(parts)
        reader.seek_to_beginning(*parts)
        ends = reader.end_offsets(parts)
        while any(reader.position(part) < ends[part] for part in parts):
            for batch in reader.poll(1000).values():
                found += batch
    return [
        [r.partition, r.offset, r.timestamp, text(r.key), text(r.value), [[name, text(v)] for name, v in r.headers]]
        for r in found
    ]


def consumer(**options: Any) -> KafkaConsumer:
    return KafkaConsumer(bootstrap_servers=SERVERS, **options)


def admin() -> KafkaAdminClient:
    return KafkaAdminClient(bootstrap_servers=SERVERS)


def text(value: bytes | None) -> str:
    return base64.b64encode(value or b"").decode()


def lag(group: str, topic: str) -> int:
    """Records of the topic that the group has not committed yet."""
    with closing(admin()) as client, closing(consumer()) as reader:
        committed = client.list_group_offsets({group: None})[group]
        parts = [TopicPartition(topic, part) for part in reader.partitions_for_topic(topic)]
        ends = reader.end_offsets(parts)
    return sum(ends[part] - (committed[part].offset if part in committed else 0) for part in parts)


def topics() -> dict[str, Any]:
    """Partitions and configuration of each topic."""
    with closing(admin()) as client, closing(consumer()) as reader:
        names = [name for name in client.list_topics() if not name.startswith("__")]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found = client.describe_configs(resources, config_filter="all")["topic"]
        return {
            name: {
                "partitions": len(reader.partitions_for_topic(name)),
                "config": {key: entry["value"] for key, entry in found[name].items()},
            }
            for name in names
        }


def groups() -> list[str]:
    with closing(admin()) as client:
        return sorted(group["group_id"] for group in client.list_groups())


def publish(topic: str, messages: list[dict[str, Any]]) -> int:
    """Publish the messages, keyed by their station."""
    with closing(KafkaProducer(bootstrap_servers=SERVERS, acks="all")) as producer:
        for sent in [producer.send(topic, json.dumps(m).encode(), m["station_id"].encode()) for m in messages]:
            sent.get(PATIENCE)
    return len(messages)


def wait_for_broker() -> None:
    """Return once a broker answers. Raises KafkaError if none does in time."""
    end = time.monotonic() + PATIENCE
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
        what, *about = json.loads(line)
        wait_for_broker()
        print(json.dumps(commands[what](*about)), flush=True)
