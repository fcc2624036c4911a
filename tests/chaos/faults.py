"""The faults that change topics: garbage, and new partitions."""

from __future__ import annotations

from datetime import UTC, datetime

from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient

from tests.chaos.topic_reader import RAW
from tests.mutated_records import TOPICS, Mutator
from tests.raw_batches import batch, produce

GARBAGE_BATCH = 20


def put_garbage(servers: str, seed: int, count: int) -> int:
    """Put seeded mutations of valid records on partition 0 of all topics; returns how many.

    Their keys start with `parsed.FOREIGN_KEY`, so that the checker recognizes them.
    """
    mutator = Mutator(seed, datetime.now(UTC))
    mutations = [mutator.mutation() for _ in range(count)]
    sent = 0
    for topic in TOPICS:
        records = [one.record for one in mutations if one.topic == topic and len(one.record.value or b"") < 900_000]
        for first in range(0, len(records), GARBAGE_BATCH):
            produce(servers, topic, 0, batch(records[first : first + GARBAGE_BATCH]))
        sent += len(records)
    return sent


def add_partitions(servers: str, count: int) -> int:
    """Add partitions to `weather-raw`; returns how many it has then."""
    consumer = KafkaConsumer(bootstrap_servers=servers)
    try:
        total = len(consumer.partitions_for_topic(RAW) or ()) + count
    finally:
        consumer.close()
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.create_partitions({RAW: total})
    finally:
        admin.close()
    return total
