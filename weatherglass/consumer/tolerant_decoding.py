"""Decoding of fetched batches that skips what cannot be decoded, one record at a time.

The broker stores records that kafka-python cannot decode, for example with a header name that is not UTF-8, or in a
batch with a compression that is not installed. kafka-python then raises in every poll, and never reaches the records
after it in the same batch. It has no setting for this, so the classes here replace `Fetcher.PartitionRecords`, a part
of its implementation; the tests with a broker fail if a later version decodes elsewhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from kafka import codec
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords
from kafka.record.abc import ABCRecord
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint
from kafka.structs import TopicPartition

MAX_BATCH_BYTES = 64 * 1024**2
"""Uncompressed size. A batch of 1 MB, the limit of the broker, can contain 1 GB."""

OnUndecodable = Callable[[TopicPartition, int, int, str], None]
"""Is called with the partition, the first and the last offset, and the error."""


def tolerate_undecodable(fetcher: Fetcher, report: OnUndecodable) -> None:
    """Let a fetcher skip what it cannot decode, after reporting it."""
    fetcher.PartitionRecords = lambda *args, **kwargs: _PartitionRecords(report, *args, **kwargs)


class _PartitionRecords(Fetcher.PartitionRecords):
    """The records of one partition in a response."""

    def __init__(self, report: OnUndecodable, fetch_offset: int, tp: TopicPartition, *args: Any, **kwargs: Any):
        def report_new(first: int, last: int, error: Exception) -> None:
            # A response starts with the batch that contains the requested offset; earlier records were read before.
            if last >= fetch_offset:
                report(tp, max(first, fetch_offset), last, repr(error))

        self._report = report_new
        super().__init__(fetch_offset, tp, *args, **kwargs)

    def _unpack_records(self, tp: TopicPartition, records: MemoryRecords, *deserializers: Any) -> Any:
        return super()._unpack_records(tp, _Records(records, self._report), *deserializers)


class _Records:
    """The batches of a response."""

    def __init__(self, records: MemoryRecords, report: Callable[[int, int, Exception], None]):
        self._records, self._report = records, report

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        return _Batch(batch, self._report) if isinstance(batch, DefaultRecordBatch) else batch


class _Batch:
    """A batch in the format since Kafka 0.11. Iteration yields the records that can be decoded."""

    def __init__(self, batch: DefaultRecordBatch, report: Callable[[int, int, Exception], None]):
        self._batch, self._report = batch, report
        self._corrupt = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def validate_crc(self) -> bool:
        """Report a wrong checksum. True in any case, because the fetcher would raise."""
        if not self._batch.validate_crc():
            self._corrupt = True
            self._report(self._batch.base_offset, self.last_offset, ValueError("wrong checksum"))
        return True

    def has_producer_id(self) -> bool:
        return not self._corrupt and bool(self._batch.has_producer_id())

    @property
    def last_offset(self) -> int:
        """The last offset; the first one if the header of a corrupt batch is wrong too."""
        delta = self._batch.last_offset_delta
        return int(self._batch.base_offset + (delta if 0 <= delta <= MAX_BATCH_BYTES else 0))

    @property
    def next_offset(self) -> int:
        return self.last_offset + 1

    @property
    def is_control_batch(self) -> bool:
        return not self._corrupt and bool(self._batch.is_control_batch)

    def __next__(self) -> ABCRecord | None:
        """The record of a control batch."""
        return next(iter(self), None)

    def __iter__(self) -> Iterator[ABCRecord]:
        if self._corrupt:
            return
        try:
            _check_size(self._batch)
            iter(self._batch)  # decompresses
        except Exception as error:  # compression libraries raise errors of their own
            self._report(self._batch.base_offset, self.last_offset, error)
            return
        expected = self._batch.base_offset
        while self._batch._next_record_index < self._batch.records_count:
            try:
                record = next(self._batch)
            except Exception as error:
                offset = self._skip()
                if offset is None:
                    self._report(expected, self.last_offset, error)
                    return
                self._report(offset, offset, error)
                expected = offset + 1
            else:
                expected = record.offset + 1
                yield record

    def _skip(self) -> int | None:
        """Move behind the record that cannot be decoded; its offset, or None if its length is wrong too."""
        batch = self._batch
        try:
            length, start = decode_varint(batch._buffer, batch._pos)
            _, position = decode_varint(batch._buffer, start)  # attributes
            _, position = decode_varint(batch._buffer, position)  # timestamp
            delta, _ = decode_varint(batch._buffer, position)
        except (IndexError, ValueError):
            return None
        if not 0 < length <= len(batch._buffer) - start or not 0 <= delta <= batch.last_offset_delta:
            return None
        batch._pos = start + length
        batch._next_record_index += 1
        return int(batch.base_offset + delta)


def _check_size(batch: DefaultRecordBatch) -> None:
    """Decompress up to the limit before kafka-python decompresses without any.

    Raises:
        ValueError: the batch is larger than `MAX_BATCH_BYTES`.
    """
    compressed = memoryview(batch._buffer)[batch._pos :]
    size = 0
    if batch.compression_type == batch.CODEC_GZIP:
        size = len(zlib.decompressobj(wbits=31).decompress(compressed, MAX_BATCH_BYTES + 1))
    elif batch.compression_type == batch.CODEC_ZSTD and codec.has_zstd():
        with codec.zstd.ZstdDecompressor().stream_reader(compressed, read_across_frames=True) as reader:
            while size <= MAX_BATCH_BYTES and (chunk := reader.read(1024**2)):
                size += len(chunk)
    if size > MAX_BATCH_BYTES:
        raise ValueError(f"more than {MAX_BATCH_BYTES} bytes uncompressed")
