"""Messages of `weather-rejected` back to `weather-raw`, as they came, after what was wrong with them was mended.

What is sent again is judged again: it becomes an observation, or lies in `weather-rejected` once more. A message that
was replayed before says so in its header `replayed`; it is passed over, or two replays would chase each other's
rejections for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from producer.publish import ACKNOWLEDGEMENT_SECONDS, open_producer
from weatherglass.quality import Reason
from weatherglass.records import iso
from weatherglass.topics import RAW, REJECTED

REPLAYED = "replayed"
"""Header of a message that was sent again: when."""


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


def replay_rejected(
    bootstrap_servers: str, selection: Selection, now: datetime, dry: bool, say: Callable[[str], None]
) -> Counter[str]:
    """Send the selected messages to `weather-raw` once more; how many of each reason.

    Reads to the end that `weather-rejected` has at the start. Of a message that was rejected twice, by a repeated
    batch, one goes back.

    Args:
        dry: only count.
        say: takes lines for the log.

    Raises:
        producer.publish.PublishError: the broker cannot be reached.
        kafka.errors.KafkaError: it did not take a message.
    """
    counted: Counter[str] = Counter()
    seen: set[tuple[str, ...]] = set()
    with open_producer(bootstrap_servers) as producer:
        sent = []
        for message in _rejected(bootstrap_servers):
            headers = {name: value.decode(errors="replace") for name, value in message.headers}
            origin = tuple(headers.get(name, "") for name in ("topic", "partition", "offset"))
            reason = headers.get("reason", "")
            rejected = datetime.fromtimestamp(message.timestamp / 1000, now.tzinfo)
            if origin in seen or REPLAYED in headers or not selection.takes(reason, rejected):
                continue
            seen.add(origin)
            counted[reason] += 1
            if not dry:
                marks = [("origin", ":".join(origin).encode()), (REPLAYED, iso(now).encode())]
                kept = [pair for pair in message.headers if pair[0] == "source"]
                sent.append(producer.send(RAW, key=message.key, value=message.value, headers=[*kept, *marks]))
        for future in sent:
            future.get(ACKNOWLEDGEMENT_SECONDS)
    for reason, count in sorted(counted.items()):
        say(f"{count} rejected as {reason} {'would be' if dry else 'were'} sent to {RAW} again")
    if not counted:
        say("nothing in weather-rejected is of that kind")
    return counted


def _rejected(bootstrap_servers: str) -> Iterator[ConsumerRecord]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(REJECTED, number) for number in consumer.partitions_for_topic(REJECTED) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for partition, records in consumer.poll(timeout_ms=500).items():
                yield from (record for record in records if record.offset < ends[partition])
    finally:
        consumer.close()
