"""Checks that every observation is in exactly one of windows, rejected and late, and that the windows are right.

**Oracle.** The last record of a window must equal the SQL oracle over the messages on `weather-raw` that were not
rejected. Which observations are late is read from `weather-rejected`, not computed. An observation whose windows were
closed only in part is in the open ones: a window may therefore lack the observations that arrived last, if its station
had reported a time at least `CLOSING_DELAY` after the end of the window before they arrived. The same condition must
hold for every late observation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.journal import Entry
from tests.chaos.log_reader import StoredRecord
from tests.chaos.parsed import Parsed, is_foreign, parse, parse_all, window_ends
from tests.chaos.topic_reader import FEATURES, RAW, REJECTED
from tests.chaos.violations import Kind, Violation, at
from tests.oracle import VARIABLES, differences, expected_features

LATE = "late"
CLOSING_DELAY = timedelta(minutes=10)
Position = tuple[int, int]
"""Partition and offset on `weather-raw`."""
Window = tuple[str, datetime]
"""Station and end of a window."""


@dataclass
class Arrivals:
    """The messages of `weather-raw`.

    Attributes:
        reasons: position -> the reasons for which the message was rejected.
        accepted: the observations that were not rejected, in the order of arrival.
        late: those with the reason `late`, in the order of arrival.
        refused: those with another reason that can be parsed.
        unreadable: messages that were not rejected although they are not observations.
    """

    reasons: dict[Position, set[str]]
    accepted: list[Parsed] = field(default_factory=list)
    late: list[Parsed] = field(default_factory=list)
    refused: list[Parsed] = field(default_factory=list)
    unreadable: list[StoredRecord] = field(default_factory=list)


def arrivals(topics: Mapping[str, list[StoredRecord]]) -> Arrivals:
    """Classify the messages of `weather-raw` by what is on `weather-rejected`."""
    raw = {(record.partition, record.offset): record for record in topics[RAW] if record.marker is None}
    reasons: dict[Position, set[str]] = defaultdict(set)
    for copy in topics[REJECTED]:
        position = origin(copy)
        if position in raw and _is_copy(copy, raw[position]):
            reasons[position].add((copy.header("reason") or b"").decode(errors="replace"))
    found = Arrivals(dict(reasons))
    for record in sorted(raw.values(), key=lambda r: (r.time, r.partition, r.offset)):
        why, parsed = reasons.get((record.partition, record.offset), set()), parse(record, "timestamp")
        if parsed is None or not _has_numbers(parsed):
            found.unreadable += [] if why else [record]
        else:
            (found.late if LATE in why else found.refused if why else found.accepted).append(parsed)
    return found


def _has_numbers(observation: Parsed) -> bool:
    """Whether each variable is a finite number or missing."""
    try:
        values = [observation.content.get(name) for name in VARIABLES]
        return all(v is None or (type(v) in (int, float) and math.isfinite(v)) for v in values)
    except OverflowError:
        return False


def origin(copy: StoredRecord) -> Position | None:
    """The position on `weather-raw` that a record on `weather-rejected` names; None if it names none."""
    try:
        if copy.header("topic") != RAW.encode():
            return None
        return int(copy.header("partition") or b""), int(copy.header("offset") or b"")
    except ValueError:
        return None


def _is_copy(copy: StoredRecord, record: StoredRecord) -> bool:
    """Whether key and value are those of the original, or the beginning of them if a header says so."""
    return _is_same(copy, "key", "truncated_key", record) and _is_same(copy, "value", "truncated", record)


def _is_same(copy: StoredRecord, name: str, truncated: str, record: StoredRecord) -> bool:
    part, whole = getattr(copy, name) or b"", getattr(record, name) or b""
    return part == whole or (copy.header(truncated) is not None and whole.startswith(part))


def check_journal(journal: Iterable[Entry], topics: Mapping[str, list[StoredRecord]]) -> Iterator[Violation]:
    """Every acknowledged message must be at its position, unchanged."""
    stored = {(r.topic, r.partition, r.offset): r for r in topics[RAW]}
    for entry in journal:
        if not entry.acknowledged:
            continue
        record = stored.get((entry.topic, entry.partition or 0, entry.offset or 0))
        if record is None or (record.key, record.value) != (entry.key.encode(), entry.value.encode()):
            detail = "acknowledged message is not on its topic"
            yield Violation(Kind.LOST, entry.topic, detail, entry.partition, entry.offset, entry.key)


def check_rejected(topics: Mapping[str, list[StoredRecord]], found: Arrivals) -> Iterator[Violation]:
    """A message has one reason; a late one was late; nothing is rejected that did not arrive."""
    for copy in topics[REJECTED]:
        position = origin(copy)
        if position is not None and position not in found.reasons and not is_foreign(copy):
            yield at(copy, Kind.UNEXPLAINED, f"copy of {position}, which has other content or does not exist")
    by_position = {(r.partition, r.offset): r for r in topics[RAW]}
    for position, reasons in found.reasons.items():
        if len(reasons) > 1:
            yield at(by_position[position], Kind.DUPLICATED, f"rejected with the reasons {sorted(reasons)}")
    for record in found.unreadable:
        yield at(record, Kind.LOST, "neither an observation nor rejected")
    closed = _ClosingTimes(found.accepted)
    for one in found.late:
        if not closed.may_lack(one, window_ends(one.time)[-1]):
            yield at(one.record, Kind.LOST, "rejected as late, but was not", one.station, one.time.isoformat())


class _ClosingTimes:
    """When the windows of a station can be closed."""

    def __init__(self, accepted: Iterable[Parsed]):
        self._arrived: dict[str, list[tuple[int, datetime]]] = defaultdict(list)
        for one in accepted:
            self._arrived[one.station].append((one.record.time, one.time))

    def may_lack(self, late: Parsed, end: datetime) -> bool:
        """Whether the window that ends at `end` could be closed when this observation arrived."""
        arrived = late.record.time
        return any(before <= arrived and time >= end + CLOSING_DELAY for before, time in self._arrived[late.station])


def check_windows(
    topics: Mapping[str, list[StoredRecord]],
    found: Arrivals,
    elevations: Mapping[str, float] | None = None,
    latitudes: Mapping[str, float] | None = None,
) -> Iterator[Violation]:
    """Compare the last record of each window with the oracle, and find observations that are in no window.

    Args:
        elevations: station -> elevation, m, of the stations that have one.
        latitudes: station -> latitude, degrees north, of the same stations.
    """
    published: dict[Window, Parsed] = {}
    for window in parse_all((r for r in topics[FEATURES] if not is_foreign(r)), "window_end"):
        published[window.station, window.time] = window
    members: dict[Window, list[Parsed]] = defaultdict(list)
    for one in found.accepted:
        for end in window_ends(one.time):
            members[one.station, end].append(one)
    oracle = _Oracle(elevations or {}, latitudes or {})
    expected = oracle.windows(found.accepted)
    closed = _ClosingTimes(found.accepted)
    contained: set[tuple[str, datetime]] = set()
    for key, window in published.items():
        if key not in members and key not in expected:
            yield _window(window, _explain(window, [], found, oracle) or "has no observation")
    for key, of_window in members.items():
        kept = of_window
        difference = _difference(published.get(key), expected[key])
        while difference and kept and closed.may_lack(kept[-1], key[1]):
            kept = kept[:-1]
            difference = _difference(published.get(key), oracle.window(key, kept)) if kept else ""
            if not kept and key in published:
                difference = "exists, but all its observations came after it was closed"
        contained |= {(one.station, one.time) for one in kept if key in published}
        if not difference:
            continue
        if key not in published:
            yield Violation(Kind.WRONG_WINDOW, FEATURES, "is missing", station=key[0], time=key[1].isoformat())
        else:
            yield _window(published[key], _explain(published[key], of_window, found, oracle) or difference)
    for one in found.accepted:
        if (one.station, one.time) not in contained:
            detail = "in no window, not rejected and not late"
            yield at(one.record, Kind.LOST, detail, one.station, one.time.isoformat())


def _window(window: Parsed, finding: str | Violation) -> Violation:
    if isinstance(finding, Violation):
        return finding
    return at(window.record, Kind.WRONG_WINDOW, finding, window.station, window.time.isoformat())


def _explain(window: Parsed, members: list[Parsed], found: Arrivals, oracle: _Oracle) -> Violation | None:
    """The rejected or late observation that the window contains in addition; None if that does not explain it."""
    key = window.station, window.time
    for extra in (*found.late, *found.refused):
        if extra.station == window.station and window.time in window_ends(extra.time):
            with_extra = sorted([*members, extra], key=lambda one: (one.record.time, one.record.offset))
            if not _difference(window, oracle.window(key, with_extra)):
                detail = f"rejected, and in the window that ends at {window.time.isoformat()}"
                return at(extra.record, Kind.DUPLICATED, detail, extra.station, extra.time.isoformat())
    return None


def _difference(window: Parsed | None, expected: dict[str, Any]) -> str:
    """The first difference to the oracle; empty if there is none. The check of the climate needs data of the job."""
    if window is None:
        return "is missing"
    actual = window.content.get("aggregated_features")
    lines = differences(_without_climate(actual), _without_climate(expected))
    return lines[0].lstrip(".") if lines else ""


def _without_climate(features: Any) -> Any:
    if not isinstance(features, dict) or not isinstance(features.get("checks"), dict):
        return features
    return {**features, "checks": {name: state for name, state in features["checks"].items() if name != "climate"}}


class _Oracle:
    """The SQL oracle for lists of observations in the order of arrival."""

    def __init__(self, elevations: Mapping[str, float], latitudes: Mapping[str, float]):
        self._elevations, self._latitudes = elevations, latitudes

    def windows(self, observations: Iterable[Parsed]) -> dict[Window, dict[str, Any]]:
        rows = [
            {"station_id": one.station, "timestamp": one.time, "offset": number}
            | {name: one.content.get(name) for name in VARIABLES}
            for number, one in enumerate(observations)
        ]
        return expected_features(rows, self._elevations, latitudes=self._latitudes)

    def window(self, key: Window, observations: Iterable[Parsed]) -> dict[str, Any]:
        return self.windows(observations)[key]
