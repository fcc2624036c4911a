"""A seeded load of observations, published with `acks=all` and recorded in a journal.

The plan is a pure function of seed, start, duration and stations. Most observations are regular; some are repeated,
revised, out of order, far too late, impossible, or no observation at all.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.chaos.journal import Entry, Journal
from tests.chaos.topic_reader import RAW

SENT_IN_ORDER = 60
"""Seconds between the regular observations of a station."""
ACKNOWLEDGEMENT_SECONDS = 60.0
MAX_UNANSWERED = 500


class Case(StrEnum):
    REGULAR = "regular"
    REPEATED = "repeated"
    REVISED = "revised"
    OUT_OF_ORDER = "out_of_order"
    LATE = "late"
    IMPOSSIBLE = "impossible"
    INVALID = "invalid"


EXTRA = {Case.REPEATED: 8, Case.REVISED: 8, Case.OUT_OF_ORDER: 6, Case.LATE: 3, Case.IMPOSSIBLE: 3, Case.INVALID: 2}
"""Number of these per hundred regular observations."""
INVALID_VALUES = ("", "{", '{"station_id": 1}', '{"station_id": "x", "timestamp": "2026-01-05"}')


@dataclass(frozen=True)
class Step:
    """A message to send `at` seconds after the start."""

    at: float
    case: Case
    key: str
    value: str


@dataclass
class Clock:
    """The clock of the producer: `shift` is how many seconds it is ahead of the right time."""

    shift: float = 0.0
    made: dict[datetime, datetime] = field(default_factory=dict)
    """Time of an observation as this clock showed it while it was moved -> the right time."""

    def right(self, shown: datetime) -> datetime:
        """The right time of an observation with the time `shown`."""
        return self.made.get(shown, shown)

    def apply(self, value: str) -> str:
        """An observation with the time that this clock shows; what is not an observation is unchanged."""
        if not self.shift:
            return value
        try:
            content = json.loads(value)
            time = datetime.fromisoformat(content["timestamp"])
        except (ValueError, KeyError, TypeError):
            return value
        if time.tzinfo is None:
            return value
        shown = _text(time + timedelta(seconds=self.shift))
        self.made[datetime.fromisoformat(shown)] = time
        return json.dumps({**content, "timestamp": shown})


def plan(seed: int, start: datetime, minutes: float, stations: Sequence[str]) -> list[Step]:
    """The messages of a load in the order of sending. Observations are older than the time at which they are sent.

    Args:
        start: the time at which the first message is sent, with time zone.
    """
    pick = random.Random(seed)
    start = start.astimezone(UTC)
    steps: list[Step] = []
    for number, station in enumerate(stations):
        at = number * SENT_IN_ORDER / len(stations)
        level = pick.uniform(-5, 25)
        previous: dict[str, object] | None = None
        while at < minutes * 60:
            level += pick.gauss(0, 0.2)
            observation = _observation(pick, station, start + timedelta(seconds=at - pick.uniform(0.5, 5)), level)
            steps.append(Step(at, Case.REGULAR, station, json.dumps(observation)))
            case = pick.choices([None, *EXTRA], [100 - sum(EXTRA.values()), *EXTRA.values()])[0]
            if case is not None:
                later = at + pick.uniform(0.1, SENT_IN_ORDER - 0.1)
                value = _extra(pick, case, previous or observation, start + timedelta(seconds=later))
                steps.append(Step(later, case, station, value))
            previous = observation
            at += SENT_IN_ORDER
    return sorted(steps, key=lambda step: step.at)


def _observation(pick: random.Random, station: str, time: datetime, level: float) -> dict[str, object]:
    return {
        "station_id": station,
        "timestamp": _text(time),
        "temperature": round(level, 1),
        "humidity": round(pick.uniform(30, 95)),
        "pressure": round(pick.uniform(1000, 1025), 1),
        "wind_speed": round(pick.uniform(0, 12), 1),
        "wind_direction": round(pick.uniform(0, 360)),
    }


def _extra(pick: random.Random, case: Case, past: dict[str, object], now: datetime) -> str:
    """The value of a message that is not regular, derived from a past observation."""
    if case is Case.INVALID:
        return pick.choice(INVALID_VALUES)
    changed = dict(past)
    if case is Case.REVISED:
        changed["temperature"] = round(float(str(past["temperature"])) + pick.choice((-1, 1)) * pick.uniform(0.5, 2), 1)
    elif case is Case.OUT_OF_ORDER:
        changed["timestamp"] = _text(now - timedelta(seconds=pick.uniform(60, 290)))
    elif case is Case.LATE:
        changed["timestamp"] = _text(now - timedelta(hours=pick.uniform(1, 5)))
    elif case is Case.IMPOSSIBLE:
        changed["timestamp"] = _text(now - timedelta(seconds=1))
        changed["temperature"] = pick.choice((-200.0, 99.0))
    return json.dumps(changed)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def publish(
    servers: str, steps: Sequence[Step], start: datetime, journal: Journal, stop: threading.Event, clock: Clock
) -> None:
    """Send each step at its time, or at once if that has passed, until the last one or `stop`.

    A message is sent once: an error means that its outcome is unknown, because the broker may have stored it.
    """
    producer = KafkaProducer(
        bootstrap_servers=servers,
        client_id="chaos-load",
        acks="all",
        retries=0,
        enable_idempotence=False,
        linger_ms=0,
        max_block_ms=5_000,
        request_timeout_ms=10_000,
        delivery_timeout_ms=15_000,
    )
    unanswered: list[tuple[Step, object]] = []
    try:
        for planned in steps:
            wait = start.timestamp() + planned.at - time.time()
            if stop.wait(max(wait, 0)):
                break
            step = replace(planned, value=clock.apply(planned.value))
            try:
                unanswered.append((step, producer.send(RAW, key=step.key.encode(), value=step.value.encode())))
            except KafkaError:
                journal.add(Entry(RAW, step.key, step.value))
            unanswered = list(_record(unanswered, journal, wait=len(unanswered) > MAX_UNANSWERED))
        list(_record(unanswered, journal, wait=True))
    finally:
        producer.close(timeout=10)


def _record(sent: list[tuple[Step, object]], journal: Journal, wait: bool) -> Iterator[tuple[Step, object]]:
    """Record the outcomes that are known; yields the others. With `wait`, wait for all."""
    for step, future in sent:
        if not wait and not future.is_done:  # type: ignore[attr-defined]
            yield step, future
            continue
        try:
            metadata = future.get(ACKNOWLEDGEMENT_SECONDS)  # type: ignore[attr-defined]
        except KafkaError:
            journal.add(Entry(RAW, step.key, step.value))
        else:
            journal.add(Entry(RAW, step.key, step.value, metadata.partition, metadata.offset))
