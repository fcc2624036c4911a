"""Transactions, put together from the logs of topics and of committed offsets.

A producer's transactions follow each other, and each of inference commits offsets. On `__consumer_offsets` a
transaction therefore begins with its first offset and ends with its marker. The broker writes the markers on the other
partitions after the offsets of the same transaction and before those of the next one; all these times are the broker's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.log_reader import StoredRecord
from tests.chaos.topic_reader import committed_offset

TopicPartition = tuple[str, int]


@dataclass
class Segment:
    """What one transaction wrote to one partition.

    Attributes:
        committed: None if the transaction is open.
        ended: time of the marker in milliseconds since 1970.
    """

    producer: int
    records: list[StoredRecord] = field(default_factory=list)
    committed: bool | None = None
    ended: int = 0


@dataclass
class Transaction:
    """A transaction that committed offsets.

    Attributes:
        begun: time of the first offset, in milliseconds since 1970.
        ranges: partition -> the first and the last but one offset that were read, as [first, end).
        segments: what it wrote to other partitions.
    """

    producer: int
    begun: int
    committed: bool | None
    ranges: dict[TopicPartition, tuple[int, int]]
    segments: list[Segment] = field(default_factory=list)


def segments(records: Iterable[StoredRecord]) -> list[Segment]:
    """The segments of transactions on the partitions of a topic; records by partition and offset."""
    found: list[Segment] = []
    running: dict[tuple[int, int], Segment] = {}
    for record in records:
        key = (record.partition, record.producer)
        if record.marker is not None:
            segment = running.pop(key, None)
            if segment:
                segment.committed, segment.ended = record.marker, record.time
        elif record.transactional:
            if key not in running:
                running[key] = Segment(record.producer)
                found.append(running[key])
            running[key].records.append(record)
    return found


def transactions(offsets: Iterable[StoredRecord], group: str) -> list[Transaction]:
    """The transactions that committed offsets of a group, in the order in which they began."""
    ends: dict[TopicPartition, int] = defaultdict(int)
    found = []
    for segment in sorted(segments(offsets), key=lambda s: (s.records[0].time, s.records[0].offset)):
        commits = [c for record in segment.records if (c := committed_offset(record)) and c.group == group]
        if not commits:
            continue
        new = {(commit.topic, commit.partition): commit.offset for commit in commits}
        ranges = {partition: (ends[partition], end) for partition, end in new.items()}
        if segment.committed:
            ends.update(new)
        found.append(Transaction(segment.producer, segment.records[0].time, segment.committed, ranges))
    return found


def assign(transactions: list[Transaction], written: Iterable[Segment]) -> list[Segment]:
    """Add committed segments to their transactions; returns those that belong to no committed transaction."""
    by_producer: dict[int, list[Transaction]] = defaultdict(list)
    for transaction in transactions:
        by_producer[transaction.producer].append(transaction)
    alone = []
    for segment in written:
        if not segment.committed:
            continue
        own = by_producer[segment.producer]
        number = bisect_right(own, segment.ended, key=lambda t: t.begun) - 1
        if number < 0 or not own[number].committed:
            alone.append(segment)
        else:
            own[number].segments.append(segment)
    return alone


def torn(transactions: list[Transaction], written: Iterable[Segment]) -> list[Segment]:
    """The segments that are aborted or open although the offsets of their transaction are committed.

    A transaction sends its records before its offsets, and its markers follow. A producer's transaction that was
    aborted before it had sent offsets has its markers before the offsets of the next one.
    """
    committed = [one for one in transactions if one.committed]
    return [
        segment
        for segment in written
        if not segment.committed
        and any(
            one.producer == segment.producer
            and segment.records[0].time <= one.begun
            and (segment.committed is None or one.begun <= segment.ended)
            for one in committed
        )
    ]
