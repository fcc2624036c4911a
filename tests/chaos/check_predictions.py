"""Checks predictions, hours and offsets of inference: nothing twice, nothing in part, nothing missing.

Inference reads `weather-features` batch by batch. For each batch, one transaction contains the predictions for the
newest leading window of each station, the changed hours, and the offsets up to which it has read. A prediction is
identified by station, time of the observation, and hash of the inputs (header `inputs`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from tests.chaos.log_reader import StoredRecord
from tests.chaos.parsed import Parsed, is_foreign, is_leading, last_observation, parse_all
from tests.chaos.topic_reader import FEATURES, HOURS, OFFSETS, PREDICTIONS, SHADOW
from tests.chaos.transactions import Segment, Transaction, assign, segments, torn, transactions
from tests.chaos.violations import Kind, Violation, at

INFERENCE_GROUP = "ray-ml-inference"
TRANSACTIONAL = (PREDICTIONS, SHADOW, HOURS)
FORECAST_PAST = timedelta(days=5) - timedelta(hours=1)
"""Windows that are older than five days, compared with the newest of any station, get no prediction."""
Prediction = tuple[str, datetime]
"""Station and time of the observation."""


def check_predictions(topics: Mapping[str, list[StoredRecord]]) -> Iterator[Violation]:
    """All checks of this module."""
    yield from _duplicates(topics)
    written = {topic: segments(topics[topic]) for topic in TRANSACTIONAL}
    for topic in TRANSACTIONAL:
        yield from _visibility(topics[topic], written[topic])
    found = transactions(topics[OFFSETS], INFERENCE_GROUP)
    for topic in TRANSACTIONAL:
        for segment in assign(found, written[topic]):
            yield at(segment.records[0], Kind.PARTIAL, "committed without the offsets of its transaction")
        for segment in torn(found, written[topic]):
            state = "open" if segment.committed is None else "aborted"
            yield at(segment.records[0], Kind.PARTIAL, f"{state}, but the offsets of its transaction are committed")
    yield from _offsets(found, topics)
    yield from _inputs(found, topics)


def _duplicates(topics: Mapping[str, list[StoredRecord]]) -> Iterator[Violation]:
    for topic in (PREDICTIONS, SHADOW):
        seen: Counter[tuple[object, ...]] = Counter()
        for one in parse_all(topics[topic], "timestamp"):
            if not one.record.visible or is_foreign(one.record):
                continue
            predictions = one.content.get("predictions")
            version = predictions.get("model_version") if topic == SHADOW and isinstance(predictions, dict) else ""
            identity = (one.station, one.time, one.record.header("inputs"), version)
            seen[identity] += 1
            if seen[identity] > 1:
                detail = "prediction of the same inputs is visible again"
                yield at(one.record, Kind.DUPLICATED, detail, one.station, one.time.isoformat())


def _visibility(records: list[StoredRecord], written: list[Segment]) -> Iterator[Violation]:
    """Compare what is visible with the markers of the log."""
    for record in records:
        if record.marker is None and not record.transactional and not is_foreign(record):
            yield at(record, Kind.PARTIAL, "written outside of a transaction")
    for segment in written:
        for record in segment.records:
            if record.visible and not segment.committed:
                state = "open" if segment.committed is None else "aborted"
                yield at(record, Kind.PARTIAL, f"visible, but its transaction is {state}")
            elif segment.committed and not record.visible:
                yield at(record, Kind.PARTIAL, "not visible, but its transaction is committed")


def _offsets(found: list[Transaction], topics: Mapping[str, list[StoredRecord]]) -> Iterator[Violation]:
    """Committed offsets do not go back and do not exceed the log."""
    ends: dict[tuple[str, int], int] = defaultdict(int)
    for topic in (FEATURES, HOURS):
        for record in topics[topic]:
            ends[topic, record.partition] = max(ends[topic, record.partition], record.offset + 1)
    for transaction in found:
        for (topic, partition), (first, end) in transaction.ranges.items():
            if transaction.committed and end < first:
                yield Violation(Kind.PARTIAL, topic, f"offset {end} committed after {first}", partition, end)
            if transaction.committed and end > ends[topic, partition]:
                detail = f"offset {end} committed, beyond the end {ends[topic, partition]}"
                yield Violation(Kind.PARTIAL, topic, detail, partition, end)


def _inputs(found: list[Transaction], topics: Mapping[str, list[StoredRecord]]) -> Iterator[Violation]:
    """Compare the predictions of each transaction with the windows that it has read."""
    windows: dict[int, list[Parsed]] = defaultdict(list)
    for window in parse_all(topics[FEATURES], "window_end"):
        if is_leading(window):
            windows[window.record.partition].append(window)
    # Inference may reject a garbage window, or be unable to predict for a station after one; it promises nothing there.
    disturbed = {one.station for of_partition in windows.values() for one in of_partition if is_foreign(one.record)}
    predicted = {_identity(one) for one in parse_all(topics[PREDICTIONS], "timestamp") if one.record.visible}
    newest: dict[str, datetime] = {}
    for transaction in (one for one in found if one.committed):
        contained = {
            _identity(one): one
            for segment in transaction.segments
            if segment.records[0].topic == PREDICTIONS
            for one in parse_all(segment.records, "timestamp")
        }
        read = [
            window
            for (topic, partition), (first, end) in transaction.ranges.items()
            if topic == FEATURES
            for window in windows[partition]
            if first <= window.record.offset < end
        ]
        yield from _unexplained(contained, read)
        yield from _missing(contained, read, newest, predicted, disturbed)


def _unexplained(contained: dict[Prediction, Parsed], read: list[Parsed]) -> Iterator[Violation]:
    inputs = {(window.station, last_observation(window)) for window in read}
    for identity, one in contained.items():
        if identity not in inputs:
            detail = "prediction of a window that its transaction has not read"
            yield at(one.record, Kind.UNEXPLAINED, detail, one.station, one.time.isoformat())


def _missing(
    contained: dict[Prediction, Parsed],
    read: list[Parsed],
    newest: dict[str, datetime],
    predicted: set[Prediction],
    disturbed: set[str],
) -> Iterator[Violation]:
    """The newest leading window of each station must be predicted if it is newer than all before; updates `newest`."""
    leading: dict[str, tuple[datetime, Parsed]] = {}
    for window in read:
        last = last_observation(window)
        if last is not None and (window.station not in leading or last >= leading[window.station][0]):
            leading[window.station] = (last, window)
    for station, (last, window) in leading.items():
        if station in newest and last <= newest[station]:
            continue
        newest[station] = last
        if last < max(newest.values()) - FORECAST_PAST:
            continue
        if (station, last) in contained or station in disturbed:
            continue
        elsewhere = (station, last) in predicted
        detail = "offset committed, but the prediction is " + ("of another transaction" if elsewhere else "missing")
        kind = Kind.PARTIAL if elsewhere else Kind.LOST
        yield at(window.record, kind, detail, station, last.isoformat())


def _identity(prediction: Parsed) -> Prediction:
    return prediction.station, prediction.time
