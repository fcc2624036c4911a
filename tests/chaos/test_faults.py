"""Garbage and new partitions on a real broker, and what the reader finds there."""

from __future__ import annotations

import pytest

from tests.chaos.check_observations import arrivals
from tests.chaos.faults import add_partitions, put_garbage
from tests.chaos.parsed import is_foreign
from tests.chaos.topic_reader import OFFSETS, RAW, TOPICS, read_topic, read_topics
from tests.conftest import TestBroker
from tests.raw_batches import RawRecord, batch, produce
from tests.waiting import until

pytestmark = pytest.mark.integration


def test_garbage_is_read_and_recognized(fresh_broker: TestBroker) -> None:
    sent = put_garbage(fresh_broker.bootstrap_servers, 1, 200)
    topics = read_topics(fresh_broker.settings.kafka_port)
    records = [record for topic in TOPICS if topic != OFFSETS for record in topics[topic]]
    assert len(records) == sent
    assert all(is_foreign(record) for record in records)
    assert all(topics[topic] for topic in TOPICS if topic != OFFSETS)
    found = arrivals(topics)
    assert found.accepted
    assert found.unreadable
    assert not found.late
    assert not found.refused


def test_added_partitions_are_read(fresh_broker: TestBroker) -> None:
    servers = fresh_broker.bootstrap_servers
    total = add_partitions(servers, 2)
    produce(servers, RAW, total - 1, batch([RawRecord(b"x", b"k")]))
    port = fresh_broker.settings.kafka_port
    found = until("the record", lambda: read_topic(port, RAW))
    assert [(record.partition, record.value) for record in found] == [(total - 1, b"x")]
