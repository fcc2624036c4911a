"""Checks that the store equals the topics: observations, the newest window of each station, predictions.

A row must equal the last record of its identity. Records of a station can be on several partitions, when partitions
were added; they have no common order for a reader, so the row may equal the last record of any of these partitions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.chaos.check_observations import Arrivals
from tests.chaos.log_reader import StoredRecord
from tests.chaos.parsed import Parsed, is_foreign, is_leading, parse_all, same
from tests.chaos.store_reader import Rows
from tests.chaos.topic_reader import FEATURES, PREDICTIONS, RAW, SHADOW
from tests.chaos.violations import Kind, Violation
from tests.oracle import VARIABLES

Identity = tuple[Any, ...]
Records = dict[Identity, dict[int, Parsed]]
"""Identity -> partition -> the last record."""


def check_store(rows: Rows, topics: Mapping[str, list[StoredRecord]], found: Arrivals) -> Iterator[Violation]:
    """All checks of this module."""
    # The sink stores late observations too.
    yield from _compare(
        rows["observations"], RAW, _last([*found.accepted, *found.late], _observed), ("timestamp",), VARIABLES, set()
    )
    windows = [one for one in parse_all(topics[FEATURES], "window_end") if is_leading(one)]
    disturbed = {(one.station,) for one in windows if is_foreign(one.record)}
    newest: dict[str, Parsed] = {}
    for one in windows:
        if one.station not in newest or one.time >= newest[one.station].time:
            newest[one.station] = one
    expected: Records = {(station,): {0: one} for station, one in newest.items()}
    yield from _compare(rows["features"], FEATURES, expected, (), ("window_end", "aggregated_features"), disturbed)
    documents = ("predictions", "anomaly", "confidence")
    yield from _predictions(rows["predictions"], topics[PREDICTIONS], _observed, ("timestamp",), documents)
    identity = ("timestamp", "model_version")
    yield from _predictions(rows["shadow_predictions"], topics[SHADOW], _of_version, identity, documents[::2])


def _predictions(
    rows: list[dict[str, Any]],
    records: list[StoredRecord],
    identity_of: Any,
    columns: tuple[str, ...],
    documents: tuple[str, ...],
) -> Iterator[Violation]:
    visible = [one for one in parse_all(records, "timestamp") if one.record.visible]
    disturbed = {identity_of(one) for one in visible if is_foreign(one.record)}
    topic = PREDICTIONS if len(columns) == 1 else SHADOW
    yield from _compare(rows, topic, _last(visible, identity_of), columns, (*documents, "inputs_hash"), disturbed)


def _observed(one: Parsed) -> Identity:
    return one.station, one.time


def _of_version(one: Parsed) -> Identity:
    predictions = one.content.get("predictions")
    return one.station, one.time, predictions.get("model_version") if isinstance(predictions, dict) else None


def _last(records: Iterable[Parsed], identity_of: Any) -> Records:
    """The last record of each identity on each partition."""
    found: Records = defaultdict(dict)
    for one in sorted(records, key=lambda r: r.record.offset):
        found[identity_of(one)][one.record.partition] = one
    return found


def _compare(
    rows: list[dict[str, Any]],
    topic: str,
    expected: Records,
    identity: tuple[str, ...],
    columns: tuple[str, ...],
    disturbed: set[Identity],
) -> Iterator[Violation]:
    """Compare rows and records; `disturbed` are identities for which garbage decides what is stored."""
    stored = {(row["station_id"], *(row[name] for name in identity)): row for row in rows}
    for key in stored.keys() | expected.keys():
        if key in disturbed:
            continue
        row, candidates = stored.get(key), list(expected.get(key, {}).values())
        if row is None:
            detail = "row is missing"
        elif not candidates:
            detail = "row without a record"
        else:
            different = [[name for name in columns if not same(_text(row[name]), _value(c, name))] for c in candidates]
            if not all(different):
                continue
            detail = f"row differs from the last record in {', '.join(different[-1])}"
        where = candidates[-1].record if candidates else None
        time = key[1].isoformat() if len(key) > 1 else ""
        partition, offset = (where.partition, where.offset) if where else (None, None)
        yield Violation(Kind.STORE_DIFFERS, topic, detail, partition, offset, str(key[0]), time)


def _value(one: Parsed, column: str) -> Any:
    if column == "inputs_hash":
        return (one.record.header("inputs") or b"").decode("ascii", "replace") or None
    return one.content.get(column)


def _text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
