"""Values of records as plain objects, as far as the checker needs them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any

from tests.chaos.log_reader import StoredRecord

MINUTE, WIDTH = timedelta(minutes=1), timedelta(minutes=5)
FOREIGN_KEY = b"mutation-"
"""Prefix of the keys of garbage, which no program of the pipeline writes."""


@dataclass(frozen=True)
class Parsed:
    """A record whose value is a JSON object with a station and a time."""

    record: StoredRecord
    station: str
    time: datetime
    content: dict[str, Any]


def is_foreign(record: StoredRecord) -> bool:
    """Whether a record is garbage that a fault put on its topic."""
    return (record.key or b"").startswith(FOREIGN_KEY)


def parse(record: StoredRecord, time_field: str) -> Parsed | None:
    """The parsed value; None if it is not an object with a station and a time with time zone."""
    try:
        content = json.loads(record.value or b"")
        station, time = content["station_id"], moment(content[time_field])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return Parsed(record, station, time, content) if isinstance(station, str) else None


def parse_all(records: Iterable[StoredRecord], time_field: str) -> list[Parsed]:
    """The records with data that can be parsed, in the same order."""
    parsed = (parse(record, time_field) for record in records if record.marker is None)
    return [one for one in parsed if one]


def moment(text: Any) -> datetime:
    """A time in UTC, truncated to milliseconds.

    Raises:
        ValueError, TypeError, OverflowError: it is not a time with time zone.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    time = time.astimezone(UTC)
    if time.year == MAXYEAR:
        raise OverflowError(f"no time can follow {text!r}")
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def window_ends(time: datetime) -> list[datetime]:
    """The ends of the five windows that contain a time, first to last."""
    minute = time.replace(second=0, microsecond=0)
    return [minute + number * MINUTE for number in range(1, 6)]


def last_observation(window: Parsed) -> datetime | None:
    """Time of the newest observation of a window; None if it has none."""
    try:
        return moment(window.content["aggregated_features"]["last_observation"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def is_leading(window: Parsed) -> bool:
    """Whether a window ends within a minute after its last observation."""
    last = last_observation(window)
    return last is not None and timedelta() < window.time - last <= MINUTE


def same(first: Any, second: Any) -> bool:
    """Whether two JSON documents agree: numbers up to rounding, times as times, empty and missing fields alike."""
    if isinstance(first, dict) and isinstance(second, dict):
        return all(same(first.get(key), second.get(key)) for key in first.keys() | second.keys())
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, bool) or isinstance(second, bool):
        return bool(first) == bool(second)
    if isinstance(first, int | float) and isinstance(second, int | float):
        return math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(first, str) and isinstance(second, str) and first != second:
        try:
            return moment(first) == moment(second)
        except (ValueError, OverflowError):
            return False
    return first == second or (not first and not second and 0 not in (first, second))
