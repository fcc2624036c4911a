"""Reads the batches of a partition as the broker stores them, with the fields that consumers hide.

A consumer shows neither the producer of a record nor the markers that end a transaction, and kafka-python's cannot read
every record. This module therefore sends fetch requests of its own and decodes record batches
(https://kafka.apache.org/protocol, https://kafka.apache.org/documentation/#recordbatch).
"""

from __future__ import annotations

import gzip
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

FETCH, VERSION = 1, 4
READ_UNCOMMITTED, READ_COMMITTED = 0, 1
MAX_BYTES = 16 * 2**20
TIMEOUT = 60.0
BATCH_HEADER = struct.Struct(">qiibIhiqqqhii")
"""First offset, length, leader epoch, magic, checksum, attributes, last offset delta, first and last timestamp,
producer id, producer epoch, first sequence, number of records."""
COMPRESSION, APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
NONE, GZIP = 0, 1
COMMIT_MARKER = 1


class LogError(RuntimeError):
    """The broker refused to return a partition, or the log cannot be decoded."""


@dataclass(frozen=True)
class StoredRecord:
    """One record of a log.

    Attributes:
        time: timestamp in milliseconds since 1970: of the broker on topics with `LogAppendTime`, else of the producer.
        producer: producer id, -1 if there is none.
        transactional: whether it is part of a transaction.
        marker: True for the marker of a commit, False for that of an abort, None for a record with data.
        visible: whether a read-committed consumer receives it; markers are never visible.
    """

    topic: str
    partition: int
    offset: int
    time: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    producer: int = -1
    epoch: int = -1
    transactional: bool = False
    marker: bool | None = None
    visible: bool = True

    def header(self, name: str) -> bytes | None:
        """The last header of this name; None if there is none."""
        return dict(self.headers).get(name)


def read_log(port: int, topic: str, partition: int, start: int, end: int) -> list[StoredRecord]:
    """The records of the offsets [start, end) with markers, read from the broker on this port of loopback.

    Raises:
        LogError: see there. OSError: the broker cannot be reached.
    """
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        records = list(_read(connection, topic, partition, start, end, READ_UNCOMMITTED))
        visible = {r.offset for r in _read(connection, topic, partition, start, end, READ_COMMITTED)}
    return [replace(record, visible=record.offset in visible) for record in records]


def _read(
    connection: socket.socket, topic: str, partition: int, start: int, end: int, isolation: int
) -> Iterator[StoredRecord]:
    """The records of [start, end). For READ_COMMITTED, without markers and what the broker lists as aborted."""
    position = start
    while position < end:
        stable, aborted, content = _fetch(connection, topic, partition, position, isolation)
        batches = list(decode_batches(content, topic, partition))
        if not batches:
            if isolation == READ_COMMITTED and position >= stable:
                return  # an open transaction
            raise LogError(f"{topic}, partition {partition}: no records at offset {position}, before the end {end}")
        if isolation == READ_COMMITTED:
            yield from (r for r in _without_aborted(batches, aborted) if position <= r.offset < end)
        else:
            yield from (r for _, records in batches for r in records if position <= r.offset < end)
        position = batches[-1][0] + 1


def _without_aborted(
    batches: list[tuple[int, list[StoredRecord]]], aborted: list[tuple[int, int]]
) -> Iterator[StoredRecord]:
    """The filter of a read-committed consumer: `aborted` holds producer id and first offset of each transaction."""
    waiting = sorted(aborted, key=lambda pair: pair[1])
    open_: set[int] = set()
    for last, records in batches:
        while waiting and waiting[0][1] <= last:
            open_.add(waiting.pop(0)[0])
        for record in records:
            if record.marker is not None:
                if not record.marker:
                    open_.discard(record.producer)
            elif not (record.transactional and record.producer in open_):
                yield record


def _fetch(
    connection: socket.socket, topic: str, partition: int, offset: int, isolation: int
) -> tuple[int, list[tuple[int, int]], bytes]:
    """Last stable offset, aborted transactions, and record batches from `offset`."""
    name = topic.encode()
    body = struct.pack(">hhih", FETCH, VERSION, 1, -1) + struct.pack(">iiiib", -1, 500, 1, MAX_BYTES, isolation)
    body += struct.pack(">ih", 1, len(name)) + name + struct.pack(">iiqi", 1, partition, offset, MAX_BYTES)
    connection.sendall(struct.pack(">i", len(body)) + body)
    stream = connection.makefile("rb")
    response = stream.read(struct.unpack(">i", stream.read(4))[0])
    position = 4 + 4 + 4 + 2 + len(name) + 4 + 4
    error, _, stable, count = struct.unpack_from(">hqqi", response, position)
    if error:
        raise LogError(f"{topic}, partition {partition}, offset {offset}: error code {error}")
    position += 22
    aborted = [struct.unpack_from(">qq", response, position + 16 * n) for n in range(max(count, 0))]
    position += 16 * len(aborted)
    size = struct.unpack_from(">i", response, position)[0]
    return stable, aborted, response[position + 4 : position + 4 + max(size, 0)]


def decode_batches(content: bytes, topic: str, partition: int) -> Iterator[tuple[int, list[StoredRecord]]]:
    """Last offset and records of each complete batch. A batch in a compression other than gzip has one record without
    key and value in place of its records.

    Raises:
        LogError: a batch has a format older than 2.
    """
    position = 0
    while position + BATCH_HEADER.size <= len(content):
        (first, length, _, magic, _, attributes, delta, time, last_time, producer, epoch, _, count) = (
            BATCH_HEADER.unpack_from(content, position)
        )
        if magic != 2:
            raise LogError(f"{topic}, partition {partition}: batch at offset {first} has format {magic}")
        end = position + 12 + length
        if end > len(content):
            return  # the broker may cut the last batch
        body = content[position + BATCH_HEADER.size : end]
        compression = attributes & COMPRESSION
        common = (topic, partition, producer, epoch, bool(attributes & TRANSACTIONAL))
        if compression not in (NONE, GZIP):
            yield first + delta, [StoredRecord(topic, partition, first, last_time, None, None)]
        else:
            body = gzip.decompress(body) if compression == GZIP else body
            append_time = last_time if attributes & APPEND_TIME else None
            records = _decode_records(body, count, first, time, append_time, bool(attributes & CONTROL), common)
            yield first + delta, records
        position = end


def _decode_records(
    body: bytes,
    count: int,
    first: int,
    first_time: int,
    append_time: int | None,
    control: bool,
    common: tuple[str, int, int, int, bool],
) -> list[StoredRecord]:
    topic, partition, producer, epoch, transactional = common
    reader = _Reader(body)
    records = []
    for _ in range(count):
        reader.varint()  # length
        reader.position += 1  # attributes
        time = first_time + reader.varint()
        offset = first + reader.varint()
        key, value = reader.content(), reader.content()
        headers = tuple(
            ((reader.content() or b"").decode(errors="replace"), reader.content()) for _ in range(reader.varint())
        )
        marker = struct.unpack(">hh", (key or b"")[:4])[1] == COMMIT_MARKER if control else None
        records.append(
            StoredRecord(
                *(topic, partition, offset, time if append_time is None else append_time, key, value, headers),
                *(producer, epoch, transactional, marker),
            )
        )
    return records


class _Reader:
    """Reads variable-length integers and byte strings."""

    def __init__(self, content: bytes):
        self._content = content
        self.position = 0

    def varint(self) -> int:
        """A signed integer in zigzag encoding, seven bits per byte."""
        value = shift = 0
        while True:
            byte = self._content[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)

    def content(self) -> bytes | None:
        size = self.varint()
        if size < 0:
            return None
        self.position += size
        return self._content[self.position - size : self.position]
