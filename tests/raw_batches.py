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

PRODUCE, VERSION = 0, 3
NO_LEADER_YET = (3, 5, 6)
"""Error codes: unknown topic, leader not available, not the leader."""
TIMEOUT = 60.0
NONE, GZIP, LZ4, ZSTD = 0, 1, 3, 4
LZ4_HEADER = bytes.fromhex("04224d18604082")
"""Start of a frame with independent blocks of up to 64 KB."""


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
    """A record batch; the client writes LZ4 only as stored blocks, because it needs no library."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=compression % LZ4, batch_size=2**30)
    for record in records:
        assert builder.append(record.timestamp, record.key, record.value, record.headers)
    builder.close()
    content = bytearray(builder.buffer())
    if compression == LZ4:
        header, body = (
            content[: DefaultRecordBatch.HEADER_STRUCT.size],
            content[DefaultRecordBatch.HEADER_STRUCT.size :],
        )
        assert len(body) < 2**16
        frame = LZ4_HEADER + struct.pack("<I", len(body) | 1 << 31) + body + bytes(4)
        content = header + frame
        struct.pack_into(">i", content, 8, len(content) - 12)
        struct.pack_into(">h", content, DefaultRecordBatch.ATTRIBUTES_OFFSET, LZ4)
    return with_checksum(content)


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
