"""What the tests ask Kafka, run inside the cluster's network; prints JSON.

inside.py records <topic> | lag <group> <topic> | topics | groups | publish <topic> (messages as JSON on stdin)
"""

from __future__ import annotations

import base64
import json
import sys
import time
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError

SERVERS = "kafka-broker:9092"
PATIENCE = 300.0


def records(topic: str) -> list[Any]:
    """Partition, offset, time, key, value and headers of each committed record; bytes in base64."""
    consumer = KafkaConsumer(bootstrap_servers=SERVERS, isolation_level="read_committed", enable_auto_commit=False)
    parts = [TopicPartition(topic, part) for part in consumer.partitions_for_topic(topic)]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    found = []
    while any(consumer.position(part) < ends[part] for part in parts):
        for batch in consumer.poll(1000).values():
            found += batch
    return [
        [r.partition, r.offset, r.timestamp, text(r.key), text(r.value), [[name, text(v)] for name, v in r.headers]]
        for r in found
    ]


def text(value: bytes | None) -> str:
    return base64.b64encode(value or b"").decode()


def lag(group: str, topic: str) -> int:
    """Records of the topic that the group has not committed yet."""
    admin = KafkaAdminClient(bootstrap_servers=SERVERS)
    committed = admin.list_group_offsets({group: None})[group]
    consumer = KafkaConsumer(bootstrap_servers=SERVERS)
    parts = [TopicPartition(topic, part) for part in consumer.partitions_for_topic(topic)]
    ends = consumer.end_offsets(parts)
    return sum(ends[part] - (committed[part].offset if part in committed else 0) for part in parts)


def topics() -> dict[str, Any]:
    """Partitions and configuration of each topic."""
    admin = KafkaAdminClient(bootstrap_servers=SERVERS)
    names = [name for name in admin.list_topics() if not name.startswith("__")]
    consumer = KafkaConsumer(bootstrap_servers=SERVERS)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found = admin.describe_configs(resources, config_filter="all")["topic"]
    return {
        name: {
            "partitions": len(consumer.partitions_for_topic(name)),
            "config": {key: entry["value"] for key, entry in found[name].items()},
        }
        for name in names
    }


def groups() -> list[str]:
    return sorted(group["group_id"] for group in KafkaAdminClient(bootstrap_servers=SERVERS).list_groups())


def publish(topic: str) -> int:
    """Publish the messages of stdin, keyed by their station."""
    messages = json.loads(sys.stdin.read())
    producer = KafkaProducer(bootstrap_servers=SERVERS, acks="all")
    for sent in [producer.send(topic, json.dumps(m).encode(), m["station_id"].encode()) for m in messages]:
        sent.get(PATIENCE)
    producer.close()
    return len(messages)


def wait_for_broker() -> None:
    """Return once a broker answers. Raises KafkaError if none does in time."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            KafkaAdminClient(bootstrap_servers=SERVERS).list_topics()
            return
        except (KafkaError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    commands = {"records": records, "lag": lag, "topics": topics, "groups": groups, "publish": publish}
    wait_for_broker()
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
