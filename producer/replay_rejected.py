"""Messages of `weather-rejected` back to `weather-raw`, as they came, after what was wrong with them was mended.

What is sent again is judged again: it becomes an observation, or lies in `weather-rejected` once more. A message that
was replayed before says so in its header `replayed`; it is passed over, or two replays would chase each other's
rejections for ever. The original stays in `weather-rejected` too; that it was sent is kept in the state folder, so that
the next run passes it over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.producer.future import FutureRecordMetadata

from producer.publish import ACKNOWLEDGEMENT_SECONDS, open_producer
from weatherglass.files import write_atomically
from weatherglass.qc.observation_checks import Reason
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.topics import RAW, REJECTED

REPLAYED = "replayed"
"""Header of a message that was sent again: when."""


CUT = frozenset({"truncated", "truncated_key"})
"""Headers of a message of which only the beginning was kept, being too long."""
SENT_FILE = "replayed.txt"


class ReplayError(ValueError):
    """What was asked for cannot be replayed; the message says what is allowed."""


@dataclass(frozen=True)
class Selection:
    """Which rejected messages: of these reasons (none: of every reason), rejected in [since, until)."""

    reasons: frozenset[Reason] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, reason: str, rejected: datetime) -> bool:
        return (
            (not self.reasons or reason in self.reasons)
            and (self.since is None or rejected >= self.since)
            and (self.until is None or rejected < self.until)
        )


def reasons_of(names: list[str]) -> frozenset[Reason]:
    """Raises ReplayError for a name that is no reason."""
    if unknown := sorted(set(names) - set(Reason)):
        raise ReplayError(f"no reason {', '.join(unknown)}; there are {', '.join(Reason)}")
    return frozenset(map(Reason, names))


@dataclass(frozen=True, eq=False)
class Rejected:
    """A message of `weather-rejected`."""

    record: ConsumerRecord

    @cached_property
    def headers(self) -> dict[str, str]:
        return {name: value.decode(errors="replace") for name, value in self.record.headers}

    @property
    def topic(self) -> str:
        """That it lay on: inference refuses messages too, of `weather-features`."""
        return self.headers.get("topic", "")

    @property
    def cut(self) -> bool:
        """Whether only its beginning is here."""
        return not CUT.isdisjoint(self.headers)

    @property
    def origin(self) -> str:
        return ":".join(self.headers.get(name, "") for name in ("topic", "partition", "offset"))

    @property
    def reason(self) -> str:
        return self.headers.get("reason", "")

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.record.timestamp / 1000, UTC)


class Sent:
    """What was sent again, kept from one run to the next: origin and time of rejection, a line each in a file of the
    state folder. Topics that were made anew count from 0 again, so the origin alone would not tell one from another.
    """

    def __init__(self, file: Path):
        self._file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.times = {origin: datetime.fromisoformat(time) for origin, time in map(str.split, lines)}

    def has(self, message: Rejected) -> bool:
        return self.times.get(message.origin) == message.time

    def keep(self, times: Mapping[str, datetime]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, "".join(f"{origin} {iso(times[origin])}\n" for origin in sorted(times)))


def replay_rejected(
    settings: Settings, selection: Selection, now: datetime, dry: bool, say: Callable[[str], None], again: bool = False
) -> Counter[str]:
    """Send the selected messages to `weather-raw` once more; how many of each reason.

    Reads to the end that `weather-rejected` has at the start. Of a message that was rejected twice, by a repeated
    batch, one goes back, and only what came from `weather-raw` does.

    Args:
        dry: only count.
        say: takes lines for the log.
        again: send what an earlier run has sent too.

    Raises:
        producer.publish.PublishError: the broker cannot be reached.
        kafka.errors.KafkaError: it did not take a message. What it took before is not sent by the next run.
    """
    counted: Counter[str] = Counter()
    staying: Counter[str] = Counter()
    sent = Sent(settings.state_dir / SENT_FILE)
    remembered = sent.times
    lying: dict[str, datetime] = {}
    sending: dict[Rejected, FutureRecordMetadata] = {}
    seen: set[str] = set()
    try:
        with open_producer(settings.bootstrap_servers) as producer:
            for message in _rejected(settings.bootstrap_servers):
                if sent.has(message):
                    lying[message.origin] = message.time
                if message.origin in seen or not selection.takes(message.reason, message.time):
                    continue
                seen.add(message.origin)
                if why := _why_it_stays(message, sent.has(message) and not again):
                    staying[why] += 1
                else:
                    counted[message.reason] += 1
                    if not dry:
                        sending[message] = _send(producer, message, now)
            remembered = lying  # what the topic has let go needs no memory
            for future in sending.values():
                future.get(ACKNOWLEDGEMENT_SECONDS)
    finally:
        if sending:
            done = {message.origin: message.time for message, future in sending.items() if future.succeeded()}
            sent.keep(remembered | done)
    for reason, count in sorted(counted.items()):
        say(f"{'to be sent' if dry else 'sent'} to {RAW} again, rejected as {reason}: {count}")
    for why, count in sorted(staying.items()):
        say(f"{why}: {count}")
    if not (counted or staying):
        say(f"nothing in {REJECTED} is of that kind")
    return counted


def _send(producer: KafkaProducer, message: Rejected, now: datetime) -> FutureRecordMetadata:
    marks = [("origin", message.origin.encode()), (REPLAYED, iso(now).encode())]
    kept = [pair for pair in message.record.headers if pair[0] == "source"]
    return producer.send(RAW, key=message.record.key, value=message.record.value, headers=[*kept, *marks])


def _why_it_stays(message: Rejected, sent: bool) -> str | None:
    """Why a selected message is not sent again; None if it is."""
    if message.topic != RAW:
        return f"not sent, from {message.topic or 'nowhere that is known'} and not from {RAW}"
    if message.cut:
        return f"not sent, too long and only the beginning is kept (the whole lies on {RAW} for seven days)"
    if sent:
        return "not sent, an earlier run has done so (`again` sends them once more)"
    return None


def _rejected(bootstrap_servers: str) -> Iterator[Rejected]:
    """Those that were not sent again before."""
    # Inference rejects inside its transactions; what it took back was rejected once more, or not at all.
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers, enable_auto_commit=False, isolation_level="read_committed"
    )
    try:
        partitions = [TopicPartition(REJECTED, number) for number in consumer.partitions_for_topic(REJECTED) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for partition, records in consumer.poll(timeout_ms=500).items():
                found = [Rejected(record) for record in records if record.offset < ends[partition]]
                yield from (message for message in found if REPLAYED not in message.headers)
    finally:
        consumer.close()
