"""A broker in memory for one consumer group, with transactions, fencing, and faults at every step of a transaction.

`FakeConsumer` and `FakeProducer` have the methods of kafka-python's clients that the product uses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import SimpleNamespace
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaConnectionError, OffsetOutOfRangeError, ProducerFencedError
from kafka.structs import OffsetAndMetadata, OffsetAndTimestamp


class Crash(BaseException):
    """The process ends here."""


class Fault(Enum):
    """What happens at the next call of a producer; AFTER: the broker has done what was requested."""

    ERROR = auto()
    ERROR_AFTER = auto()
    CRASH = auto()
    CRASH_AFTER = auto()


class State(Enum):
    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass
class Transaction:
    state: State = State.OPEN
    offsets: dict[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)


@dataclass
class FakeBroker:
    partitions: Mapping[str, int]
    logs: defaultdict[TopicPartition, list[tuple[Any, Transaction]]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)
    epoch: int = 0
    open: Transaction | None = None
    clock: int = 1_767_614_400_000
    faults: dict[str, Fault] = field(default_factory=dict)
    """Method of the producer -> fault at its next call."""

    def append(self, tp: TopicPartition, key: bytes | None, value: bytes | None, headers: Any, of: Transaction) -> None:
        self.clock += 1
        record = SimpleNamespace(
            topic=tp.topic, partition=tp.partition, offset=len(self.logs[tp]), timestamp=self.clock,
            key=key, value=value, headers=list(headers),
        )  # fmt: skip
        self.logs[tp].append((record, of))

    def produce(self, topic: str, partition: int, key: bytes, value: bytes | None) -> int:
        """Append a record without transaction; its offset."""
        tp = TopicPartition(topic, partition)
        self.append(tp, key, value, [], Transaction(State.COMMITTED))
        return len(self.logs[tp]) - 1

    def end(self, tp: TopicPartition) -> int:
        """The last stable offset."""
        log = self.logs[tp]
        return next((i for i, (_, transaction) in enumerate(log) if transaction.state is State.OPEN), len(log))

    def visible(self, topic: str) -> list[Any]:
        """The records that a read-committed consumer sees."""
        tps = [TopicPartition(topic, number) for number in range(self.partitions[topic])]
        return [record for tp in tps for record, of in self.logs[tp][: self.end(tp)] if of.state is State.COMMITTED]

    def finish(self, state: State) -> None:
        """End the open transaction, if any."""
        if self.open:
            self.open.state = state
            if state is State.COMMITTED:
                self.committed |= self.open.offsets
        self.open = None


class FakeProducer:
    def __init__(self, broker: FakeBroker, **_: object):
        self._broker, self._epoch = broker, 0

    def _call(self, name: str, action: Any) -> None:
        fault = self._broker.faults.pop(name, None)
        if fault is Fault.CRASH:
            raise Crash
        if fault is Fault.ERROR:
            raise KafkaConnectionError(name)
        if self._epoch != self._broker.epoch:
            raise ProducerFencedError(name)
        action()
        if fault is Fault.CRASH_AFTER:
            raise Crash
        if fault is Fault.ERROR_AFTER:
            raise KafkaConnectionError(name)

    def init_transactions(self) -> None:
        self._broker.finish(State.ABORTED)
        self._broker.epoch += 1
        self._epoch = self._broker.epoch

    def begin_transaction(self) -> None:
        def begin() -> None:
            assert self._broker.open is None
            self._broker.open = Transaction()

        self._call("begin_transaction", begin)

    def send(self, topic: str, value: bytes | None = None, key: bytes | None = None, headers: Any = ()) -> None:
        def send() -> None:
            assert self._broker.open
            partition = sum(key or b"") % self._broker.partitions[topic]
            self._broker.append(TopicPartition(topic, partition), key, value, headers, self._broker.open)

        self._call("send", send)

    def send_offsets_to_transaction(self, offsets: dict[TopicPartition, OffsetAndMetadata], _: str) -> None:
        def add() -> None:
            assert self._broker.open
            self._broker.open.offsets |= offsets

        self._call("send_offsets_to_transaction", add)

    def commit_transaction(self) -> None:
        self._call("commit_transaction", lambda: self._broker.finish(State.COMMITTED))

    def abort_transaction(self) -> None:
        self._call("abort_transaction", lambda: self._broker.finish(State.ABORTED))


class FakeConsumer:
    def __init__(self, broker: FakeBroker, max_poll_records: int = 500, **_: object):
        self._broker, self._limit = broker, max_poll_records
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._fetcher = SimpleNamespace()

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._broker.partitions[topic]))

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._positions = {tp: self._positions.get(tp, 0) for tp in partitions}

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._positions[tp] = offset

    def position(self, tp: TopicPartition) -> int:
        return self._positions[tp]

    def pause(self, *tps: TopicPartition) -> None:
        self._paused |= set(tps)

    def resume(self, *tps: TopicPartition) -> None:
        self._paused -= set(tps)

    def committed(self, tp: TopicPartition, metadata: bool = False, **_: object) -> Any:
        found = self._broker.committed.get(tp)
        return found if metadata or found is None else found.offset

    def beginning_offsets(self, tps: Iterable[TopicPartition], **_: object) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    def end_offsets(self, tps: Iterable[TopicPartition], **_: object) -> dict[TopicPartition, int]:
        return {tp: self._broker.end(tp) for tp in tps}

    def highwater(self, tp: TopicPartition) -> int:
        return self._broker.end(tp)

    def offsets_for_times(self, times: Mapping[TopicPartition, int], **_: object) -> dict[TopicPartition, Any]:
        first = {
            tp: next((r for r, _ in self._broker.logs[tp] if r.timestamp >= time), None) for tp, time in times.items()
        }
        return {tp: r and OffsetAndTimestamp(r.offset, r.timestamp, -1) for tp, r in first.items()}

    def poll(self, timeout_ms: int, max_records: int | None = None) -> dict[TopicPartition, list[Any]]:
        polled = {}
        for tp, position in self._positions.items():
            end = self._broker.end(tp)
            if position > len(self._broker.logs[tp]):
                raise OffsetOutOfRangeError({tp: position})
            if tp in self._paused or position >= end:
                continue
            some = self._broker.logs[tp][position : min(end, position + self._limit)]
            self._positions[tp] = position + len(some)
            if records := [record for record, of in some if of.state is State.COMMITTED]:
                polled[tp] = records
        return polled
