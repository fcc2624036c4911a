"""Seeded mutations of valid records of every topic."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jsonschema import Draft202012Validator

from tests.raw_batches import NotUtf8, RawRecord
from tests.weatherglass.store.samples import a_guidance, a_prediction, a_window, an_observation
from weatherglass.record_schemas import RECORDS
from weatherglass.records import Hour, iso
from weatherglass.topics import FEATURES, GUIDANCE, HOURS, PREDICTIONS, RAW, REJECTED, SHADOW

SCHEMAS = {RAW: "observation", FEATURES: "window-features", HOURS: "hour", GUIDANCE: "guidance"}
SCHEMAS |= dict.fromkeys((PREDICTIONS, SHADOW), "prediction")
TOPICS = (*SCHEMAS, REJECTED)

EXTREME_VALUES: tuple[Any, ...] = (
    *(None, True, "", "x" * 10_000, "\0", "\ud83c\udf27", "../..", "NaN", [], {}, [[]] * 50, {"a": {"b": [1]}}),
    *(0, -1, 1e308, -1e308, 5e-324, 10**30, -(10**30), 2**31, 2**63, 10**400, 1e19, 3.5e38),
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2999-01-01T00:00:00Z", "8999-01-01T00:00:00Z"),
    *("1899-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-05T12:00:00"),
)
EXTREME_TIMESTAMPS = (-1, 0, 1, 10**12)


def without_patterns(schema: Any) -> Any:
    """A schema that does not restrict the form of times: readers accept more forms than the product writes."""
    if isinstance(schema, dict):
        return {
            key: value if key == "station_id" else without_patterns(value)
            for key, value in schema.items()
            if key != "pattern"
        }
    return [without_patterns(value) for value in schema] if isinstance(schema, list) else schema


VALIDATORS = {
    topic: Draft202012Validator(without_patterns(RECORDS[name].model_json_schema(mode="validation")))
    for topic, name in SCHEMAS.items()
}
"""Unlike the published schemas, they allow optional fields to be missing, as in records of older versions."""


@dataclass
class Mutation:
    """A record for a topic. `undecodable`: by kafka-python. `invalid`: the JSON schema rejects its value."""

    topic: str
    record: RawRecord
    undecodable: bool
    invalid: bool


class Mutator:
    """Makes mutations. The same seed gives the same ones, with times that are relative to `now`."""

    def __init__(self, seed: int, now: datetime):
        self._random = random.Random(seed)
        self._now = now.astimezone(UTC).replace(second=0, microsecond=0)
        self._count = 0

    def mutation(self) -> Mutation:
        pick = self._random
        self._count += 1
        topic = pick.choice(TOPICS)
        value: bytes | None = self._valid(topic)
        for _ in range(pick.choice((0, 1, 1, 1, 1, 2, 3))):
            value = value and pick.choice(self._changes)(self, value)
        headers: list[tuple[str, bytes | None]] = self._origin() if topic == REJECTED else []
        kind = pick.random()
        if kind < 0.1:
            headers.append((pick.choice(("source", "inputs", "schema", "reason", "", "\u00e9")), None))
        elif kind < 0.2:
            headers.append((pick.choice(("source", "inputs", "replayed", "truncated")), pick.randbytes(20)))
        undecodable = kind > 0.95
        if undecodable:
            headers.append((NotUtf8("name"), b""))
        record = RawRecord(value, f"mutation-{self._count}".encode(), headers)
        if topic != REJECTED and pick.random() < 0.02:
            record.timestamp = pick.choice(EXTREME_TIMESTAMPS)
        return Mutation(topic, record, undecodable, self._is_invalid(topic, value))

    def _valid(self, topic: str) -> bytes:
        time = self._now - timedelta(minutes=self._random.randrange(600))
        station = f"station-{self._random.randrange(8)}"
        if topic in (RAW, REJECTED):
            return an_observation(station, time).to_json()
        if topic == FEATURES:
            return a_window(time, station).to_json()
        if topic == GUIDANCE:
            return a_guidance(station, time).to_json()
        if topic == HOURS:
            names = ("temperature", "humidity", "pressure", "wind_u", "wind_v", "wind_speed")
            hour = time.replace(minute=0, second=0, microsecond=0)
            return Hour(
                station_id=station, hour=hour, count=3, **dict.fromkeys(names, 60.0) | {"pressure": 1e3}
            ).to_json()
        flagged = self._random.choice(((), ("range",)))
        return a_prediction(station, time, flagged).to_json()

    def _origin(self) -> list[tuple[str, bytes | None]]:
        topic = self._random.choice((RAW, RAW, FEATURES, "", "a b\nc"))
        offset = self._random.choice((str(self._count), "-1", "1 2\n3", ""))
        names = {"reason": "future", "topic": topic, "partition": "0", "offset": offset}
        return [(name, text.encode()) for name, text in names.items() if self._random.random() < 0.9]

    def _flip_bytes(self, value: bytes) -> bytes:
        content = bytearray(value)
        for _ in range(self._random.randint(1, 5) if content else 0):
            content[self._random.randrange(len(content))] = self._random.randrange(256)
        return bytes(content)

    def _truncate(self, value: bytes) -> bytes:
        return value[: self._random.randrange(len(value) + 1)]

    def _tombstone(self, _: bytes) -> None:
        return None

    def _empty(self, _: bytes) -> bytes:
        return b""

    def _grow(self, value: bytes) -> bytes:
        return value * (3_000_000 // max(len(value), 1)) if self._random.random() < 0.1 else value * 2

    def _nest(self, value: bytes) -> bytes:
        depth = self._random.choice((1, 10, 199, 201, 100_000))
        return b"[" * depth + value + b"]" * depth

    def _edit(self, value: bytes) -> bytes:
        """Remove, replace, repeat or rename one element at a random depth."""
        try:
            document = json.loads(value)
        except (ValueError, RecursionError):
            return self._flip_bytes(value)
        containers: list[Any] = []
        _collect(document, containers)
        if not containers:
            return self._flip_bytes(value)
        container = self._random.choice(containers)
        key = self._random.choice(list(container) if isinstance(container, dict) else range(len(container)))
        kind = self._random.randrange(6)
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, list):
            container.insert(key, container[key])
        elif kind == 2 and isinstance(container, dict):
            container[self._random.choice(("", "x" * 2_000, "\0", "station_id"))] = container[key]
        elif kind == 3:
            later = self._now + timedelta(minutes=self._random.choice((5, 9, 11, 60, 9_000)))
            container[key] = iso(later)
        else:
            container[key] = self._random.choice(EXTREME_VALUES)
        return json.dumps(document).encode("utf-8", "surrogatepass")

    _changes: tuple[Callable[[Mutator, bytes], bytes | None], ...] = (
        *(_edit,) * 6,
        *(_flip_bytes, _flip_bytes, _truncate, _tombstone, _empty, _grow, _nest),
    )

    @staticmethod
    def _is_invalid(topic: str, value: bytes | None) -> bool:
        if topic == REJECTED or (topic == HOURS and value is None):
            return False
        try:
            return not VALIDATORS[topic].is_valid(json.loads(value or b"", parse_constant=_no_number))
        except (ValueError, RecursionError):
            return True


def _no_number(text: str) -> None:
    raise ValueError(text)


def _collect(value: Any, containers: list[Any]) -> None:
    if isinstance(value, dict | list) and value:
        containers.append(value)
        for inner in list(value.values()) if isinstance(value, dict) else value:
            _collect(inner, containers)
