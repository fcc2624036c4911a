"""The reader with a broker: records that cannot be decoded, and offsets outside the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.conftest import TestBroker
from tests.log_records import product_records
from tests.raw_batches import GZIP, LZ4, NONE, ZSTD, NotUtf8, RawRecord, batch, produce
from tests.waiting import until
from weatherglass.consumer import tolerant_decoding
from weatherglass.consumer.record_reader import RecordReader

pytestmark = pytest.mark.integration


@pytest.fixture
def topic(broker: TestBroker) -> str:
    name = f"topic-{uuid4().hex}"
    create(broker, name)
    return name


def create(broker: TestBroker, name: str, partitions: int = 1) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    admin.create_topics([NewTopic(name, partitions, 1)])
    admin.close()


@pytest.fixture
def open_reader(broker: TestBroker) -> Iterator[Callable[..., RecordReader]]:
    readers = []

    def open_one(group: str | None = None) -> RecordReader:
        readers.append(RecordReader(broker.settings, group))
        return readers[-1]

    yield open_one
    for reader in readers:
        reader.close()


def values(reader: RecordReader) -> list[bytes | None]:
    """The values of all records up to the end, in their order."""
    return [record.value for record in reader.read_to_end(lambda: None)]


def good(*names: str) -> list[RawRecord]:
    return [RawRecord(name.encode()) for name in names]


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    """The arguments of what the product has logged."""
    return [tuple(record.args or ()) for record in product_records(caplog)]


BAD = RawRecord(b"undecodable", headers=[(NotUtf8("name"), b"")])


@pytest.mark.parametrize("compression", [NONE, GZIP])
def test_every_other_record_of_a_batch_with_undecodable_records_is_read(
    broker: TestBroker,
    topic: str,
    open_reader: Callable[..., RecordReader],
    compression: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    produce(broker.bootstrap_servers, topic, 0, batch([BAD, *good("a"), BAD, BAD, *good("b", "c"), BAD], compression))
    produce(broker.bootstrap_servers, topic, 0, batch([BAD], compression))
    produce(broker.bootstrap_servers, topic, 0, batch(good("d"), compression))
    reader = open_reader()
    tp = TopicPartition(topic, 0)
    reader.assign([tp])
    assert values(reader) == [b"a", b"b", b"c", b"d"]
    assert (reader.undecodable, reader.position(tp)) == (5, 9)
    assert [args[:4] for args in logged(caplog)] == [(topic, 0, offset, offset) for offset in (0, 2, 3, 6, 7)]


def test_a_start_inside_a_batch_counts_only_what_follows(
    broker: TestBroker, topic: str, open_reader: Callable[..., RecordReader]
) -> None:
    produce(broker.bootstrap_servers, topic, 0, batch([BAD, *good("a"), BAD, *good("b")]))
    reader = open_reader()
    reader.assign([TopicPartition(topic, 0)])
    reader.seek(TopicPartition(topic, 0), 2)
    assert values(reader) == [b"b"]
    assert reader.undecodable == 1


def test_one_partition_with_undecodable_records_does_not_stop_the_others(
    broker: TestBroker, open_reader: Callable[..., RecordReader]
) -> None:
    topic = f"topic-{uuid4().hex}"
    create(broker, topic, 3)
    for partition in range(3):
        records = [BAD] * 5 if partition == 1 else good(*"abc")
        produce(broker.bootstrap_servers, topic, partition, batch(records))
    reader = open_reader()
    reader.assign(reader.partitions_of(topic))
    assert sorted(values(reader)) == [b"a", b"a", b"b", b"b", b"c", b"c"]
    assert reader.undecodable == 5


def test_tombstones_null_keys_null_headers_and_other_alphabets_are_read(
    broker: TestBroker, topic: str, open_reader: Callable[..., RecordReader]
) -> None:
    records = [RawRecord(None), RawRecord(None, b""), RawRecord(b"", headers=[("", None), ("заголовок", None)])]
    produce(broker.bootstrap_servers, topic, 0, batch(records))
    reader = open_reader()
    reader.assign([TopicPartition(topic, 0)])
    assert values(reader) == [None, None, b""]
    assert reader.undecodable == 0


def test_a_batch_in_a_compression_without_library_is_skipped(
    broker: TestBroker, topic: str, open_reader: Callable[..., RecordReader]
) -> None:
    for name, compression in (("a", NONE), ("b", LZ4), ("c", ZSTD)):
        produce(broker.bootstrap_servers, topic, 0, batch(good(name, name), compression))
    reader = open_reader()
    reader.assign([TopicPartition(topic, 0)])
    assert values(reader) == [b"a", b"a", b"c", b"c"]
    assert reader.undecodable == 2


@pytest.mark.parametrize("compression", [GZIP, ZSTD])
def test_a_batch_that_is_too_large_uncompressed_is_skipped(
    broker: TestBroker,
    topic: str,
    open_reader: Callable[..., RecordReader],
    compression: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tolerant_decoding, "MAX_BATCH_BYTES", 1_000_000)
    for size in (900_000, 1_100_000):
        produce(broker.bootstrap_servers, topic, 0, batch([RawRecord(b"x" * size)], compression))
    produce(broker.bootstrap_servers, topic, 0, batch(good("a")))
    reader = open_reader()
    reader.assign([TopicPartition(topic, 0)])
    assert [value and len(value) for value in values(reader)] == [900_000, 1]
    assert reader.undecodable == 1


def test_a_batch_that_was_damaged_on_disk_is_skipped(
    broker: TestBroker, topic: str, open_reader: Callable[..., RecordReader]
) -> None:
    for name in "abc":
        produce(broker.bootstrap_servers, topic, 0, batch(good(name * 20)))
    segment = segment_of(broker, topic)
    content = segment.read_bytes()
    with segment.open("r+b") as file:
        file.seek(content.index(b"b" * 20))
        file.write(b"X")
    reader = open_reader()
    reader.assign([TopicPartition(topic, 0)])
    assert values(reader) == [b"a" * 20, b"c" * 20]
    assert reader.undecodable == 1


def segment_of(broker: TestBroker, topic: str) -> Path:
    return next(broker.settings.state_dir.glob(f"kafka/**/{topic}-0/*.log"))


def delete_records(broker: TestBroker, topic: str, before: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    admin.delete_records({TopicPartition(topic, 0): before})
    admin.close()


def recreate(broker: TestBroker, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    admin.delete_topics([topic])
    until("the topic is deleted", lambda: topic not in admin.list_topics())
    admin.close()
    until("the topic exists again", lambda: _create_again(broker, topic))


def _create_again(broker: TestBroker, topic: str) -> bool:
    try:
        create(broker, topic)
    except Exception:
        return False  # not completely deleted yet
    return True


def test_deleted_offsets_are_logged_at_the_start_and_while_running(
    broker: TestBroker, topic: str, open_reader: Callable[..., RecordReader], caplog: pytest.LogCaptureFixture
) -> None:
    tp, group = TopicPartition(topic, 0), uuid4().hex
    for name in "abcdef":
        produce(broker.bootstrap_servers, topic, 0, batch(good(name)))
    first, running = open_reader(group), open_reader()
    first.assign([tp])
    first.poll(10_000, max_records=1)
    first.commit()
    running.assign([tp])
    delete_records(broker, topic, 4)
    with caplog.at_level(logging.ERROR):
        started = open_reader(group)
        assert started.assign([tp]) == {tp: 4}
        assert values(started) == [b"e", b"f"]
        assert values(running) == [b"e", b"f"]
    assert logged(caplog) == [(topic, 0, 1, 3, 4), (topic, 0, 0, 3, 4)]


def test_a_topic_that_was_created_again_is_read_from_its_beginning(
    broker: TestBroker, topic: str, open_reader: Callable[..., RecordReader]
) -> None:
    tp = TopicPartition(topic, 0)
    produce(broker.bootstrap_servers, topic, 0, batch(good(*"abcdef")))
    running = open_reader()
    running.assign([tp])
    assert len(values(running)) == 6
    recreate(broker, topic)
    produce(broker.bootstrap_servers, topic, 0, batch(good("x", "y")))
    read: list[bytes] = []
    until("the new records", lambda: read.extend(r.value for r in running.poll(200).get(tp, ())) or len(read) >= 2)
    assert read == [b"x", b"y"]


@pytest.mark.parametrize("recreated", [True, False])
def test_a_committed_offset_beyond_the_end_continues_after_the_newest_record_read(
    broker: TestBroker,
    topic: str,
    open_reader: Callable[..., RecordReader],
    recreated: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In a log that was cut, the records at the end were read before; in one that was created again, none was."""
    tp, group = TopicPartition(topic, 0), uuid4().hex
    for name in "abcdef":
        produce(broker.bootstrap_servers, topic, 0, batch(good(name)))
    reader = open_reader(group)
    reader.assign([tp])
    old = list(reader.read_to_end(lambda: None))
    offset = reader.offset_to_commit(tp)
    other = f"topic-{uuid4().hex}"
    create(broker, other)
    shift = 1 if recreated else -1
    for record in old[:3]:
        copy = RawRecord(record.value, timestamp=record.timestamp + shift * 60_000)
        produce(broker.bootstrap_servers, other, 0, batch([copy]))
    new = TopicPartition(other, 0)
    reader.assign([new])
    reader._consumer.commit({new: offset})
    started = open_reader(group)
    continued = 0 if recreated else 3
    assert started.assign([new]) == {new: continued}
    assert [args[:5] for args in logged(caplog)] == [(other, 0, 6, 3, continued)]
    produce(broker.bootstrap_servers, other, 0, batch([RawRecord(b"g")]))
    assert values(started) == ([b"a", b"b", b"c", b"g"] if recreated else [b"g"])


def test_records_beyond_the_offset_are_left_for_the_next_call(
    broker: TestBroker, topic: str, open_reader: Callable[..., RecordReader]
) -> None:
    tp = TopicPartition(topic, 0)
    produce(broker.bootstrap_servers, topic, 0, batch(good(*"abc")))
    produce(broker.bootstrap_servers, topic, 0, batch([*good(*"def"), BAD]))
    reader = open_reader()
    reader.assign([tp])
    assert [record.value for record in reader.read_to({tp: 1}, lambda: None)] == [b"a"]
    assert [record.value for record in reader.read_to({tp: 3}, lambda: None)] == [b"b", b"c"]
    assert values(reader) == [b"d", b"e", b"f"]
    assert reader.undecodable == 1


def test_reading_to_an_offset_does_not_wait_for_records_that_no_longer_exist(
    broker: TestBroker, topic: str, open_reader: Callable[..., RecordReader]
) -> None:
    tp = TopicPartition(topic, 0)
    produce(broker.bootstrap_servers, topic, 0, batch(good(*"abc")))
    reader = open_reader()
    reader.assign([tp])
    reader.seek(tp, 10)
    assert [record.value for record in reader.read_to({tp: 20}, lambda: None)] in ([], [b"a", b"b", b"c"])
