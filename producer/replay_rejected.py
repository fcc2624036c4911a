"""Publishes messages of `weather-rejected` to `weather-raw` again, unchanged, after the cause was fixed.

A replayed message is validated again: it becomes an observation or is rejected again. Messages with the header
`replayed` were replayed before and are skipped, since otherwise two replays would repeat each other's rejections
forever. The original stays in `weather-rejected`. The replayed messages are recorded in the state folder, so that the
next run skips them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from kafka.producer.future import FutureRecordMetadata

from producer.publish import ACKNOWLEDGEMENT_TIMEOUT_SECONDS, open_producer
from weatherglass.consumer.record_reader import RecordReader, record_time
from weatherglass.consumer.rejected_copy import value_to_send
from weatherglass.files import DamagedFileError, write_atomically
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.record_headers import origin
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.topics import (
    MAX_REJECTED_KEY_BYTES,
    MAX_REJECTED_VALUE_BYTES,
    TRUNCATED_HEADER,
    TRUNCATED_KEY_HEADER,
)

REPLAYED_HEADER = "replayed"
"""Header of a replayed message: the time of the replay."""

REPLAYED_FILE = "replayed.txt"


class ReplayError(ValueError):
    """The selection is invalid; the message names the allowed values."""


class SkipReason(StrEnum):
    """Why a selected message is not replayed."""

    OTHER_TOPIC = "not from weather-raw"
    TOO_LONG = "too long for weather-raw"
    TRUNCATED = "truncated (the complete message is on weather-raw for seven days)"
    ALREADY_REPLAYED = "already replayed by an earlier run (`again` replays it)"


@dataclass(frozen=True)
class ReplayReport:
    """Number of messages of a replay: `replayed` by the reason of their rejection, `skipped` by the reason for that."""

    replayed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[SkipReason] = field(default_factory=Counter)


@dataclass(frozen=True)
class Selection:
    """Selects rejected messages: with one of these reasons (empty: any reason), rejected in [since, until), UTC."""

    reasons: frozenset[RejectionReason] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, message: RejectedMessage) -> bool:
        return (
            (not self.reasons or message.reason in self.reasons)
            and (self.since is None or message.time >= self.since)
            and (self.until is None or message.time < self.until)
        )


def parse_reasons(names: list[str]) -> frozenset[RejectionReason]:
    """The reasons with these names.

    Raises:
        ReplayError: a name is not a reason.
    """
    if unknown := sorted(set(names) - set(RejectionReason)):
        raise ReplayError(f"Unknown reason: {', '.join(unknown)}. Reasons: {', '.join(RejectionReason)}")
    return frozenset(map(RejectionReason, names))


@dataclass(frozen=True, eq=False)
class RejectedMessage:
    """A message of `weather-rejected`."""

    record: ConsumerRecord

    @cached_property
    def headers(self) -> dict[str, str]:
        return {name: (value or b"").decode(errors="replace") for name, value in self.record.headers}

    @property
    def truncated(self) -> bool:
        return not {TRUNCATED_HEADER, TRUNCATED_KEY_HEADER}.isdisjoint(self.headers)

    @property
    def origin(self) -> str:
        """Original topic, partition and offset; inference and the sink reject records of other topics too."""
        return ":".join(self.headers.get(name, "") for name in ("topic", "partition", "offset"))

    @property
    def reason(self) -> str:
        """A `RejectionReason`, or `unknown`: other programs may write to the topic too."""
        reason = self.headers.get("reason")
        return reason if reason in set(RejectionReason) else "unknown"

    @property
    def time(self) -> datetime:
        """When the message was rejected, UTC."""
        return record_time(self.record)


class ReplayedMessages:
    """The messages replayed by earlier runs: origin and time of rejection, one per line of a file in the state folder.

    The origin alone is not unique, since the offsets of a recreated topic start at 0 again.
    """

    def __init__(self, file: Path):
        self._file = file
        self.times = _parse_replayed(file) if file.exists() else {}

    def __contains__(self, message: RejectedMessage) -> bool:
        return self.times.get(message.origin) == message.time

    def save(self, times: Mapping[str, datetime]) -> None:
        if not times:
            self._file.unlink(missing_ok=True)
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, "".join(f"{origin} {iso(times[origin])}\n" for origin in sorted(times)))


def _parse_replayed(file: Path) -> dict[str, datetime]:
    """The content of the file; raises DamagedFileError if it is not what `ReplayedMessages.save` has written."""
    content = file.read_bytes()
    try:
        if not content.endswith(b"\n"):
            raise ValueError("it is empty, or its end is missing")
        lines = content.decode().splitlines()
        return {origin: datetime.fromisoformat(time) for origin, time in map(str.split, lines)}
    except ValueError as error:
        remedy = "Remove it: messages that were replayed before can then be replayed a second time"
        raise DamagedFileError(file, str(error), remedy) from error


def replay_rejected(
    settings: Settings,
    selection: Selection,
    now: datetime,
    dry_run: bool,
    log: Callable[[str], object],
    again: bool = False,
) -> ReplayReport:
    """Publish the selected messages to `weather-raw` again.

    Reads up to the end of `weather-rejected` at the start. A message that was rejected twice, by a repeated batch, is
    replayed once. Only messages from `weather-raw` are replayed.

    Args:
        now: UTC, for the header `replayed`.
        dry_run: only count.
        log: is called with each line for the task log.
        again: also replay messages that an earlier run has replayed.

    Raises:
        DamagedFileError: the record of the messages that were replayed before is damaged.
        producer.publish.PublishError: the broker is not available.
        kafka.errors.KafkaError: the broker did not acknowledge a message. Those that it acknowledged are recorded, so
            that the next run skips them.
    """
    topics = settings.topics
    report = ReplayReport()
    earlier = ReplayedMessages(settings.state_dir / REPLAYED_FILE)
    recorded = earlier.times
    retained: dict[str, datetime] = {}
    pending: dict[RejectedMessage, FutureRecordMetadata] = {}
    seen: set[str] = set()
    try:
        with open_producer(settings) as producer:
            for message in _read_rejected(settings):
                if message in earlier:
                    retained[message.origin] = message.time
                if message.origin in seen or not selection.matches(message):
                    continue
                seen.add(message.origin)
                if reason := _skip_reason(message, topics.raw, message in earlier and not again):
                    report.skipped[reason] += 1
                else:
                    report.replayed[message.reason] += 1
                    if not dry_run:
                        pending[message] = _send(producer, topics.raw, message, now)
            recorded = retained  # forgets messages that the topic has deleted
            for future in pending.values():
                future.get(ACKNOWLEDGEMENT_TIMEOUT_SECONDS)
    finally:
        if pending:
            done = {message.origin: message.time for message, future in pending.items() if future.succeeded()}
            earlier.save(recorded | done)
    for rejected_as, count in sorted(report.replayed.items()):
        log(f"{'Would replay' if dry_run else 'Replayed'} to {topics.raw}, rejected as {rejected_as}: {count}")
    for reason, count in sorted(report.skipped.items()):
        log(f"Skipped, {reason}: {count}")
    if not (report.replayed or report.skipped):
        log(f"No message in {topics.rejected} matches the selection")
    return report


def _send(producer: KafkaProducer, topic: str, message: RejectedMessage, now: datetime) -> FutureRecordMetadata:
    added = [("origin", message.origin.encode()), (REPLAYED_HEADER, iso(now).encode())]
    source = origin(message.record.headers)
    kept = [("source", source.value.encode())] if source else []
    value = value_to_send(message.record)
    return producer.send(topic, key=message.record.key, value=value, headers=[*kept, *added])


def _skip_reason(message: RejectedMessage, topic: str, already_replayed: bool) -> SkipReason | None:
    """Why a selected message is skipped; None if it is replayed."""
    if not re.fullmatch(rf"{re.escape(topic)}:[0-9]+:[0-9]+", message.origin):
        return SkipReason.OTHER_TOPIC
    record = message.record
    if len(record.value or b"") > MAX_REJECTED_VALUE_BYTES or len(record.key or b"") > MAX_REJECTED_KEY_BYTES:
        return SkipReason.TOO_LONG
    if message.truncated:
        return SkipReason.TRUNCATED
    return SkipReason.ALREADY_REPLAYED if already_replayed else None


def _read_rejected(settings: Settings) -> Iterator[RejectedMessage]:
    """The messages of `weather-rejected` that were not replayed before their rejection."""
    reader = RecordReader(settings)
    try:
        reader.assign(reader.partitions_of(settings.topics.rejected))
        for record in reader.read_to_end(lambda: None):
            message = RejectedMessage(record)
            if REPLAYED_HEADER not in message.headers:
                yield message
    finally:
        reader.close()
