"""Record batches that kafka-python's producer cannot write, sent to a broker in a produce request of our own.

The format is that of Kafka's protocol: https://kafka.apache.org/protocol and the record batch in `DefaultRecordBatch`.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from tests.waiting import until

PRODUCE, VERSION = 0, 7
NO_LEADER_YET = (3, 5, 6)
"""Error codes: unknown topic, leader not available, not the leader."""
TIMEOUT = 60.0
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
LZ4_HEADER = bytes.fromhex("04224d18604082")
"""Start of a frame with independent blocks of up to 64 KB."""
SNAPPY_HEADER = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
"""Start of a stream as Java's library writes it: name, version, compatible version."""
SNAPPY_LITERAL = 61 << 2
"""Tag of a literal whose length minus one follows in two bytes."""


class NotUtf8(str):
    """The name of a header that is not UTF-8."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe\xfa"


@dataclass
class RawRecord:
    value: bytes | None
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    timestamp: int = field(default_factory=lambda: int(time.time() * 1000))


def batch(records: Sequence[RawRecord], compression: int = NONE) -> bytes:
    """A record batch; LZ4 and Snappy only as stored blocks, which need no library."""
    by_client = NONE if compression in (SNAPPY, LZ4) else compression
    builder = MemoryRecordsBuilder(magic=2, compression_type=by_client, batch_size=2**30)
    for record in records:
        assert builder.append(record.timestamp, record.key, record.value, record.headers)
    builder.close()
    content = bytearray(builder.buffer())
    if compression in (SNAPPY, LZ4):
        header, body = (
            content[: DefaultRecordBatch.HEADER_STRUCT.size],
            content[DefaultRecordBatch.HEADER_STRUCT.size :],
        )
        assert len(body) < 2**16
        content = header + (_lz4_frame(body) if compression == LZ4 else _snappy_stream(body))
        struct.pack_into(">i", content, 8, len(content) - 12)
        struct.pack_into(">h", content, DefaultRecordBatch.ATTRIBUTES_OFFSET, compression)
    return with_checksum(content)


def _lz4_frame(body: bytes) -> bytes:
    return LZ4_HEADER + struct.pack("<I", len(body) | 1 << 31) + body + bytes(4)


def _snappy_stream(body: bytes) -> bytes:
    length = bytes([len(body) & 0x7F | 0x80, len(body) >> 7 & 0x7F | 0x80, len(body) >> 14])
    block = length + struct.pack("<BH", SNAPPY_LITERAL, len(body) - 1) + body
    return SNAPPY_HEADER + struct.pack(">i", len(block)) + block


def with_checksum(content: bytearray) -> bytes:
    """The batch with the checksum of its present content."""
    crc = calc_crc32c(bytes(content[DefaultRecordBatch.ATTRIBUTES_OFFSET :]))
    struct.pack_into(">I", content, DefaultRecordBatch.CRC_OFFSET, crc)
    return bytes(content)


def produce(bootstrap: str, topic: str, partition: int, records: bytes) -> None:
    """Append a batch, as soon as the partition has a leader."""
    until(f"partition {partition} of {topic}", lambda: _produce(bootstrap, topic, partition, records))


def _produce(bootstrap: str, topic: str, partition: int, records: bytes) -> bool:
    body = struct.pack(">hhih", PRODUCE, VERSION, 1, -1) + struct.pack(">hhi", -1, -1, 30_000)
    body += struct.pack(">i", 1) + struct.pack(">h", len(topic)) + topic.encode()
    body += struct.pack(">iii", 1, partition, len(records)) + records
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        stream = connection.makefile("rb")
        response = stream.read(struct.unpack(">i", stream.read(4))[0])
    position = 4 + 4 + 2 + len(topic) + 4
    _, error = struct.unpack_from(">ih", response, position)
    assert error in (0, *NO_LEADER_YET), f"the broker rejected the batch with error code {error}"
    return not error
