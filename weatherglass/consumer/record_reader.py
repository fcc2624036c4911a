"""A Kafka consumer that goes on whatever is in the log, and reports what it skips.

It assigns its partitions itself, starts at the committed offsets, or else at the beginning, and does not commit.

**Records that cannot be decoded** are skipped, logged and counted; every other record of their batch is returned.

**Offsets outside the log.** Records are deleted when their retention ends, and a log may lose its end after a power
failure, be an older copy from a backup, or be created again. A position outside the log is found at the start and in
every poll. Below the log, reading continues at its first record. Beyond it, reading continues at the first record that
is newer than the last one read, which is the whole log if it was created again, and nothing if it was cut. The
timestamp of the last record read is therefore committed with the offset, as its metadata; without one, for offsets of
older versions, the whole log is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaTimeoutError, LogTruncationError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from weatherglass.consumer.tolerant_decoding import tolerate_undecodable
from weatherglass.kafka_connection import client_options
from weatherglass.net import RECONNECT_MS
from weatherglass.records import EARLIEST, LATEST
from weatherglass.settings import Settings

log = logging.getLogger(__name__)

Polled = dict[TopicPartition, list[ConsumerRecord]]

POLL_MS = 200
"""How long a poll waits for records."""
MAX_POLL_BYTES = 20 * 1024**2
"""Keys and values that a poll returns, except for the last record. The batch of a poll is written in one transaction,
which must not take longer than its timeout."""
REQUEST_MS = 10_000
"""How long a call waits for the broker. Shorter than the time after which a job without heartbeat counts as hung."""


class RecordReader:
    """Reads assigned partitions, read-committed.

    Args:
        group: consumer group whose offsets are the start; None: start at the beginning.
        options: of `KafkaConsumer`.

    Attributes:
        undecodable: records skipped because they cannot be decoded.
    """

    def __init__(self, settings: Settings, group: str | None = None, **options: Any):
        self._consumer = KafkaConsumer(
            **client_options(settings),
            group_id=group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            reconnect_backoff_max_ms=RECONNECT_MS,
            **options,
        )
        tolerate_undecodable(self._consumer._fetcher, self._report_undecodable)
        self._group = group
        self._newest: dict[TopicPartition, int] = {}
        """Highest timestamp read, milliseconds since 1970."""
        self._reported: dict[TopicPartition, int] = {}
        """The highest offset that could not be decoded."""
        self.undecodable = 0

    def close(self) -> None:
        self._consumer.close()

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        """All partitions of a topic; empty if it does not exist."""
        return [TopicPartition(topic, number) for number in sorted(self._consumer.partitions_for_topic(topic) or ())]

    @property
    def client(self) -> KafkaConsumer:
        """The client, for its metrics."""
        return self._consumer

    @property
    def assignment(self) -> set[TopicPartition]:
        return set(self._consumer.assignment())

    def assign(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Replace the assignment; the start of each partition that was not assigned before.

        Partitions without a committed offset are not in the result. They start at the beginning.

        Raises:
            KafkaError: the broker does not answer; the assignment is unchanged.
        """
        partitions = sorted(partitions)
        added = [tp for tp in partitions if tp not in self._consumer.assignment()]
        starts = {}
        beginnings = self._consumer.beginning_offsets(added, timeout_ms=REQUEST_MS) if added else {}
        ends = self._consumer.end_offsets(added, timeout_ms=REQUEST_MS) if added else {}
        offsets = {tp: self._committed(tp) for tp in added}
        self._consumer.assign(partitions)
        for tp, committed in offsets.items():
            if committed is None:
                self._consumer.seek(tp, beginnings[tp])
                continue
            self._newest[tp] = int(committed.metadata) if committed.metadata.isdecimal() else -1
            self._consumer.seek(tp, committed.offset)
            if not beginnings[tp] <= committed.offset <= ends[tp]:
                self._move_into_log({tp: committed.offset})
            starts[tp] = self.position(tp)
        return starts

    def poll(self, timeout_ms: int, max_records: int | None = None) -> Polled:
        """The next records; those that cannot be decoded are missing."""
        try:
            polled: Polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_records)
        except OffsetOutOfRangeError as error:
            self._move_into_log(error.args[0])
            return {}
        except LogTruncationError as error:
            self._move_into_log({tp: self.position(tp) for tp in error.divergent_offsets})
            return {}
        polled = self._cut(polled)
        for tp, records in polled.items():
            self._newest[tp] = max(self._newest.get(tp, -1), *(record.timestamp for record in records))
        return polled

    def _cut(self, polled: Polled) -> Polled:
        """The first `MAX_POLL_BYTES` of the records; the next poll returns the others."""
        size = 0
        kept: Polled = {}
        for tp, records in polled.items():
            for record in records:
                if size > MAX_POLL_BYTES:
                    self._consumer.seek(tp, record.offset)
                    break
                size += len(record.value or b"") + len(record.key or b"")
                kept.setdefault(tp, []).append(record)
        return kept

    def read_to(self, ends: Mapping[TopicPartition, int], heartbeat: Callable[[], None]) -> Iterator[ConsumerRecord]:
        """Yield the records of these partitions up to the given offsets, exclusive; the others are paused meanwhile.

        Does not wait for the end of a log that has become shorter than that.
        """
        open_ends, others = dict(ends), self.assignment - set(ends)
        self._consumer.pause(*others)
        try:
            while any(self.position(tp) < end for tp, end in open_ends.items()):
                before = {tp: self.position(tp) for tp in open_ends}
                for tp, records in self.poll(POLL_MS).items():
                    wanted = [record for record in records if record.offset < open_ends.get(tp, 0)]
                    if len(wanted) < len(records):
                        self.seek(tp, records[len(wanted)].offset)  # for the next call
                    yield from wanted
                open_ends = {tp: end for tp, end in open_ends.items() if self.position(tp) >= before[tp]}
                heartbeat()
        finally:
            self._consumer.resume(*others)

    def read_to_end(self, heartbeat: Callable[[], None]) -> Iterator[ConsumerRecord]:
        """Yield the records up to the present end of all assigned partitions."""
        ends = self._consumer.end_offsets(list(self.assignment), timeout_ms=REQUEST_MS)
        self._move_into_log({tp: position for tp, end in ends.items() if (position := self.position(tp)) > end})
        yield from self.read_to(ends, heartbeat)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Continue a partition at an offset."""
        self._consumer.seek(tp, offset)

    def first_offset(self, tp: TopicPartition) -> int:
        """Offset of the oldest record in the log."""
        return int(self._consumer.beginning_offsets([tp], timeout_ms=REQUEST_MS)[tp])

    def first_offset_since(self, tp: TopicPartition, timestamp: int) -> int | None:
        """Offset of the first record with this timestamp (milliseconds since 1970) or a later one; None without one."""
        found = self._consumer.offsets_for_times({tp: max(timestamp, 0)}, timeout_ms=REQUEST_MS)[tp]
        return None if found is None else int(found.offset)

    def position(self, tp: TopicPartition) -> int:
        """Offset of the next record."""
        return int(self._consumer.position(tp))

    def committed(self, tp: TopicPartition) -> int | None:
        """The committed offset of a partition, assigned or not; None without one."""
        committed = self._committed(tp)
        return None if committed is None else committed.offset

    def offset_to_commit(self, tp: TopicPartition) -> OffsetAndMetadata:
        """The position and the timestamp of the newest record read."""
        return OffsetAndMetadata(self.position(tp), str(self._newest.get(tp, "")), -1)

    def commit(self) -> None:
        """Commit the positions of all partitions to the group."""
        self._consumer.commit({tp: self.offset_to_commit(tp) for tp in self.assignment}, timeout_ms=REQUEST_MS)

    def lag(self) -> int:
        """Records between the positions and the last known ends."""
        highwaters = {tp: self._consumer.highwater(tp) for tp in self.assignment}
        return sum(max(0, end - self.position(tp)) for tp, end in highwaters.items() if end is not None)

    def _committed(self, tp: TopicPartition) -> OffsetAndMetadata | None:
        if self._group is None:
            return None
        committed: OffsetAndMetadata | None = self._consumer.committed(tp, metadata=True, timeout_ms=REQUEST_MS)
        return committed

    def _report_undecodable(self, tp: TopicPartition, first: int, last: int, error: str) -> None:
        first = max(first, self._reported.get(tp, -1) + 1)  # a batch is decoded again after a seek into it
        if first > last:
            return
        self._reported[tp] = last
        self.undecodable += last - first + 1
        log.warning(
            "Skipping records that cannot be decoded: %s, partition %d, offsets %d to %d: %s", *tp, first, last, error
        )

    def _move_into_log(self, positions: Mapping[TopicPartition, int]) -> None:
        """Move positions that are outside the log; without an answer of the broker, the next poll tries again."""
        for tp, position in positions.items():
            try:
                first = self.first_offset(tp)
                if position < first:
                    log.error(
                        "%s, partition %d: offsets %d to %d were deleted before they were read; continuing at %d",
                        *(*tp, position, first - 1, first),
                    )
                else:
                    end = int(self._consumer.end_offsets([tp], timeout_ms=REQUEST_MS)[tp])
                    newest = self._newest.get(tp, -1)
                    newer = self.first_offset_since(tp, newest + 1) if newest >= 0 else first
                    log.error(
                        "%s, partition %d: offset %d is beyond the end of the log, %d, which was cut, replaced by an "
                        "older copy, or created again; continuing at %d, after the records up to %s",
                        *(*tp, position, end, end if newer is None else newer, _time(newest).isoformat()),
                    )
                    first = end if newer is None else newer
                self._consumer.seek(tp, first)
                self._reported.pop(tp, None)
            except KafkaTimeoutError as error:
                log.warning("%s, partition %d: the ends of the log are unknown: %s", *tp, error)


def log_skipped(record: ConsumerRecord, detail: object) -> None:
    """Log a record that was read but cannot be used, with its position."""
    log.warning(
        "Skipping invalid record: %s, partition %d, offset %d: %s",
        *(record.topic, record.partition, record.offset, detail),
    )


def record_time(record: ConsumerRecord) -> datetime:
    """The timestamp of a record, UTC. Kafka accepts any number, so it is limited to the range of all times."""
    return _time(record.timestamp)


def _time(milliseconds: int) -> datetime:
    try:
        return min(max(datetime.fromtimestamp(milliseconds / 1000, UTC), EARLIEST), LATEST)
    except (ValueError, OverflowError, OSError):
        return EARLIEST if milliseconds < 0 else LATEST
