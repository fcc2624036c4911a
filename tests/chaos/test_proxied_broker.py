"""The proxy between a real client and a real broker, and the log of the transactions that result."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from tests.chaos.log_reader import StoredRecord
from tests.chaos.proxied_broker import ProxiedBroker
from tests.chaos.proxy import Faults, Proxy
from tests.chaos.topic_reader import OFFSETS, committed_offset, read_topic
from tests.chaos.transactions import assign, segments, transactions
from tests.conftest import free_ports, make_settings
from tests.raw_batches import GZIP, NotUtf8, RawRecord, batch, produce
from tests.waiting import until
from weatherglass.launcher.kafka import RunningBroker

pytestmark = pytest.mark.integration
TOPIC, GROUP = "data", "group"
CLIENT = "transactional"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Proxy]]:
    """The broker's own port, and the proxy whose address it advertises."""
    settings = make_settings(tmp_path_factory.mktemp("broker"))
    proxy = Proxy(settings.kafka_port)
    running = RunningBroker(settings)
    running.broker = ProxiedBroker(settings, free_ports(1)[0], proxy.port)
    running.start()
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    admin.create_topics([NewTopic(name, 1, 1) for name in (TOPIC, "compressed")])
    admin.close()
    try:
        yield settings.kafka_port, proxy
    finally:
        proxy.close()
        running.stop()


@pytest.fixture
def proxy(proxied: tuple[int, Proxy]) -> Iterator[Proxy]:
    yield proxied[1]
    proxied[1].clear()


def transactional(proxied: tuple[int, Proxy], name: str, **options: Any) -> KafkaProducer:
    producer = KafkaProducer(
        bootstrap_servers=f"127.0.0.1:{proxied[0]}", client_id=CLIENT, transactional_id=name, linger_ms=0, **options
    )
    producer.init_transactions()
    return producer


def send(producer: KafkaProducer, value: bytes, offset: int | None = None) -> None:
    """Begin a transaction with one record and, if given, an offset of the group."""
    producer.begin_transaction()
    producer.send(TOPIC, value=value, partition=0)
    if offset is not None:
        producer.send_offsets_to_transaction({TopicPartition(TOPIC, 0): OffsetAndMetadata(offset, "", -1)}, GROUP)
    producer.flush()


def log(proxied: tuple[int, Proxy], topic: str = TOPIC) -> list[StoredRecord]:
    return read_topic(proxied[0], topic)


def values(log: list[StoredRecord]) -> tuple[set[bytes | None], set[bytes | None]]:
    """All values, and those that a read-committed consumer sees."""
    data = [record for record in log if record.marker is None]
    return {r.value for r in data}, {r.value for r in data if r.visible}


def test_clients_connect_through_the_proxy(proxied: tuple[int, Proxy], proxy: Proxy) -> None:
    producer = transactional(proxied, "through")
    proxy.inject(Faults(delay=0.001), CLIENT)
    send(producer, b"through")
    producer.commit_transaction()
    producer.close()
    assert proxy.injected["delay"]
    assert b"through" in values(log(proxied))[1]


def test_the_log_has_committed_aborted_and_open_transactions(proxied: tuple[int, Proxy]) -> None:
    aborted, committed, left_open = (transactional(proxied, name) for name in ("aborted", "committed", "open"))
    send(aborted, b"aborted")
    send(committed, b"committed")
    aborted.abort_transaction()
    committed.commit_transaction()
    send(left_open, b"open")
    found = log(proxied)
    every, visible = values(found)
    assert {b"aborted", b"committed", b"open"} <= every
    assert b"committed" in visible
    assert not {b"aborted", b"open"} & visible
    by_value = {record.value: record for record in found}
    marker = {r.producer: r.marker for r in found if r.marker is not None}
    assert by_value[b"aborted"].transactional
    assert marker[by_value[b"aborted"].producer] is False
    assert marker[by_value[b"committed"].producer] is True
    assert by_value[b"open"].producer not in marker
    consumer = KafkaConsumer(
        bootstrap_servers=f"127.0.0.1:{proxied[0]}", isolation_level="read_committed", auto_offset_reset="earliest"
    )
    consumer.assign([TopicPartition(TOPIC, 0)])
    visible_offsets = {record.offset for record in found if record.visible}
    seen: set[int] = set()

    def all_seen() -> bool:
        seen.update(record.offset for records in consumer.poll(500).values() for record in records)
        return seen >= visible_offsets

    until("all visible records", all_seen)
    assert seen == visible_offsets
    consumer.close()
    left_open.abort_transaction()
    for producer in (aborted, committed, left_open):
        producer.close()


def test_the_log_has_the_offsets_of_a_transaction(proxied: tuple[int, Proxy]) -> None:
    producer = transactional(proxied, "offsets")
    send(producer, b"with offset", 7)
    producer.commit_transaction()
    producer.close()
    number = next(r.producer for r in log(proxied) if r.value == b"with offset")
    found = [r for r in log(proxied, OFFSETS) if r.producer == number]
    assert [r.marker for r in found] == [None, True]
    committed = committed_offset(found[0])
    assert committed is not None
    assert (committed.group, committed.topic, committed.partition, committed.offset) == (GROUP, TOPIC, 0, 7)


def test_a_transaction_is_put_together_from_its_markers(proxied: tuple[int, Proxy]) -> None:
    producer = transactional(proxied, "several")
    for number, value in enumerate((b"first", b"second", b"third")):
        send(producer, value, 100 + number)
        if number == 1:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    written = [s for s in segments(log(proxied)) if s.records[0].value in (b"first", b"second", b"third")]
    found = [t for t in transactions(log(proxied, OFFSETS), GROUP) if t.producer == written[0].producer]
    assert assign(found, written) == []
    assert [t.committed for t in found] == [True, False, True]
    assert [[r.value for s in t.segments for r in s.records] for t in found] == [[b"first"], [], [b"third"]]
    assert [t.ranges[TOPIC, 0][1] for t in found] == [100, 101, 102]
    assert found[2].ranges[TOPIC, 0][0] == 100


def test_names_of_headers_that_are_not_utf8_and_gzip_are_read(proxied: tuple[int, Proxy]) -> None:
    records = [RawRecord(b"one", b"k", [(NotUtf8("x"), b"h")]), RawRecord(None, None, [("n", None)])]
    produce(f"127.0.0.1:{proxied[0]}", "compressed", 0, batch(records, GZIP))
    found = log(proxied, "compressed")
    assert [(r.key, r.value) for r in found] == [(b"k", b"one"), (None, None)]
    assert found[0].headers[0][1] == b"h"
    assert found[1].headers == (("n", None),)
    assert found[0].time == records[0].timestamp


def test_a_commit_whose_response_is_lost_is_in_the_log_once(proxied: tuple[int, Proxy], proxy: Proxy) -> None:
    producer = transactional(proxied, "lost-response", request_timeout_ms=5_000)
    send(producer, b"lost response")
    dropped = proxy.injected["end_drop"]
    proxy.inject(Faults(end_drop=True), CLIENT)
    ending = threading.Thread(target=_commit, args=[producer])
    ending.start()
    assert proxy.wait_for("end_drop", dropped + 1)
    proxy.clear()
    ending.join(60)
    producer.close()
    data = [r for r in log(proxied) if r.value == b"lost response"]
    assert len(data) == 1
    until("the commit", lambda: b"lost response" in values(log(proxied))[1])


def test_a_delayed_end_is_forwarded_when_the_fault_ends(proxied: tuple[int, Proxy], proxy: Proxy) -> None:
    producer = transactional(proxied, "delayed")
    send(producer, b"delayed")
    held = proxy.injected["end_delay"]
    proxy.inject(Faults(end_delay=600.0), CLIENT)
    ending = threading.Thread(target=_commit, args=[producer])
    ending.start()
    assert proxy.wait_for("end_delay", held + 1)
    assert b"delayed" not in values(log(proxied))[1]
    proxy.clear()
    ending.join(60)
    producer.close()
    until("the commit", lambda: b"delayed" in values(log(proxied))[1])


def _commit(producer: KafkaProducer) -> None:
    with suppress(KafkaError):  # the outcome is unknown to the client
        producer.commit_transaction()
