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

from tests.chaos.log_reader import Log, read_log
from tests.chaos.proxied_broker import ProxiedBroker
from tests.chaos.proxy import Faults, Proxy
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


def log(proxied: tuple[int, Proxy], topic: str = TOPIC, partition: int = 0) -> Log:
    consumer = KafkaConsumer(bootstrap_servers=f"127.0.0.1:{proxied[0]}")
    try:
        tp = TopicPartition(topic, partition)
        return read_log(proxied[0], topic, partition, 0, consumer.end_offsets([tp])[tp])
    finally:
        consumer.close()


def values(log: Log) -> tuple[set[bytes | None], set[bytes | None]]:
    """All values, and those that a read-committed consumer sees."""
    data = [record for record in log.records if record.marker is None]
    return {r.value for r in data}, {r.value for r in data if r.offset in log.visible}


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
    by_value = {record.value: record for record in found.records}
    marker = {r.producer: r.marker for r in found.records if r.marker is not None}
    assert by_value[b"aborted"].transactional
    assert marker[by_value[b"aborted"].producer] is False
    assert marker[by_value[b"committed"].producer] is True
    assert by_value[b"open"].producer not in marker
    consumer = KafkaConsumer(
        bootstrap_servers=f"127.0.0.1:{proxied[0]}", isolation_level="read_committed", auto_offset_reset="earliest"
    )
    consumer.assign([TopicPartition(TOPIC, 0)])
    seen: set[int] = set()

    def all_seen() -> bool:
        seen.update(record.offset for records in consumer.poll(500).values() for record in records)
        return seen >= found.visible

    until("all visible records", all_seen)
    assert seen == found.visible
    consumer.close()
    left_open.abort_transaction()
    for producer in (aborted, committed, left_open):
        producer.close()


def test_the_log_has_the_offsets_of_a_transaction(proxied: tuple[int, Proxy]) -> None:
    producer = transactional(proxied, "offsets")
    send(producer, b"with offset", 7)
    producer.commit_transaction()
    producer.close()
    number = next(r.producer for r in log(proxied).records if r.value == b"with offset")
    partitions = KafkaConsumer(bootstrap_servers=f"127.0.0.1:{proxied[0]}")
    names = partitions.partitions_for_topic("__consumer_offsets")
    partitions.close()
    found = [r for p in names for r in log(proxied, "__consumer_offsets", p).records if r.producer == number]
    assert [r.marker for r in found] == [None, True]
    assert GROUP.encode() in (found[0].key or b"")


def test_names_of_headers_that_are_not_utf8_and_gzip_are_read(proxied: tuple[int, Proxy]) -> None:
    records = [RawRecord(b"one", b"k", [(NotUtf8("x"), b"h")]), RawRecord(None, None, [("n", None)])]
    produce(f"127.0.0.1:{proxied[0]}", "compressed", 0, batch(records, GZIP))
    found = log(proxied, "compressed").records
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
    data = [r for r in log(proxied).records if r.value == b"lost response"]
    assert len(data) == 1
    until("the commit", lambda: data[0].offset in log(proxied).visible)


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
