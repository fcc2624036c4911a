"""Deliberate errors in a correct run, each with a violation that it must cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.log_reader import StoredRecord
from tests.chaos.synthetic import PRODUCER, Run, offset_record
from tests.chaos.topic_reader import FEATURES, HOURS, OFFSETS, PREDICTIONS, RAW, REJECTED, SHADOW
from tests.chaos.violations import Kind

LOST, DUPLICATED, PARTIAL = Kind.LOST, Kind.DUPLICATED, Kind.PARTIAL
WRONG_WINDOW, UNEXPLAINED, STORE_DIFFERS = Kind.WRONG_WINDOW, Kind.UNEXPLAINED, Kind.STORE_DIFFERS
BUGS: dict[str, tuple[Callable[[Run], Any], Kind, str]] = {}
"""Name -> function that changes a correct run, and kind and topic of a violation that it must cause."""
Bug = Callable[[Run], Any]


def bug(kind: Kind, topic: str) -> Callable[[Bug], Bug]:
    def register(function: Bug) -> Bug:
        BUGS[function.__name__] = (function, kind, topic)
        return function

    return register


def data(run: Run, topic: str) -> list[StoredRecord]:
    return [record for record in run.topics[topic] if record.marker is None]


def exchange(run: Run, record: StoredRecord, **fields: Any) -> StoredRecord:
    """Replace a record by one with other fields; a `content` becomes its value."""
    if "content" in fields:
        fields["value"] = json.dumps(fields.pop("content")).encode()
    records = run.topics[record.topic]
    new = replace(record, **fields)
    records[records.index(record)] = new
    return new


def last_window(run: Run, station: str, back: int = 8) -> StoredRecord:
    """The last record of a window that ends some minutes before the newest one of the station."""
    windows = {json.loads(r.value or b"")["window_end"]: r for r in data(run, FEATURES) if r.key == station.encode()}
    return windows[sorted(windows)[-back]]


@bug(LOST, RAW)
def the_broker_loses_an_acknowledged_message(run: Run) -> None:
    run.topics[RAW].remove(data(run, RAW)[7])


@bug(LOST, RAW)
def the_value_of_an_acknowledged_message_changes(run: Run) -> None:
    record = data(run, RAW)[7]
    exchange(run, record, content={**json.loads(record.value or b""), "humidity": 1.0})


@bug(LOST, RAW)
def an_observation_is_in_no_window(run: Run) -> None:
    """The job skips an observation: all its windows are published without it, or not at all."""
    record = next(r for r in data(run, RAW) if r.key == b"b")  # the first one: two of its windows contain nothing else
    time = datetime.fromisoformat(json.loads(record.value or b"")["timestamp"])
    run.topics[FEATURES] = [
        r
        for r in run.topics[FEATURES]
        if r.key != b"b"
        or not time < datetime.fromisoformat(json.loads(r.value or b"")["window_end"]) <= time + timedelta(minutes=5)
    ]


@bug(LOST, RAW)
def an_invalid_message_is_not_rejected(run: Run) -> None:
    run.topics[REJECTED] = [r for r in run.topics[REJECTED] if r.header("reason") == b"late"]


@bug(LOST, RAW)
def a_late_observation_is_not_published(run: Run) -> None:
    run.topics[REJECTED] = [r for r in run.topics[REJECTED] if r.header("reason") != b"late"]


@bug(LOST, RAW)
def an_observation_is_rejected_as_late_in_time(run: Run) -> None:
    _reject(run, data(run, RAW)[30], "late")


@bug(DUPLICATED, RAW)
def an_observation_is_rejected_and_in_the_windows(run: Run) -> None:
    _reject(run, data(run, RAW)[30], "range")


@bug(DUPLICATED, RAW)
def an_observation_is_rejected_with_two_reasons(run: Run) -> None:
    _reject(run, next(r for r in data(run, RAW) if r.value == b"{"), "range")


@bug(UNEXPLAINED, REJECTED)
def something_is_rejected_that_did_not_arrive(run: Run) -> None:
    _reject(run, replace(data(run, RAW)[0], offset=999), "range")


@bug(WRONG_WINDOW, FEATURES)
def the_mean_of_a_window_is_wrong(run: Run) -> None:
    window = last_window(run, "b")
    content = json.loads(window.value or b"")
    content["aggregated_features"]["temperature"]["mean"] += 1e-3
    exchange(run, window, content=content)


@bug(WRONG_WINDOW, FEATURES)
def the_last_window_is_stale(run: Run) -> None:
    run.topics[FEATURES].remove(last_window(run, "a", 2))


@bug(WRONG_WINDOW, FEATURES)
def a_window_is_missing(run: Run) -> None:
    end = json.loads(last_window(run, "c").value or b"")["window_end"]
    run.topics[FEATURES] = [
        r for r in run.topics[FEATURES] if r.key != b"c" or json.loads(r.value or b"")["window_end"] != end
    ]


@bug(WRONG_WINDOW, FEATURES)
def a_window_has_no_observation(run: Run) -> None:
    window = last_window(run, "c")
    content = json.loads(window.value or b"") | {"window_end": "2026-01-05T10:00:00.000Z"}
    run.append(FEATURES, "c", content, window.time)


@bug(WRONG_WINDOW, FEATURES)
def a_revision_is_ignored(run: Run) -> None:
    """The windows contain the old value: as if the revision were another message than the one acknowledged."""
    revised = next(r for r in data(run, RAW) if json.loads(r.value or b"")["temperature"] == 1.5)
    changed = exchange(run, revised, content={**json.loads(revised.value or b""), "temperature": 3.5})
    entry = next(e for e in run.journal if (e.partition, e.offset) == (revised.partition, revised.offset))
    run.journal[run.journal.index(entry)] = replace(entry, value=(changed.value or b"").decode())


@bug(DUPLICATED, PREDICTIONS)
def a_prediction_is_visible_twice(run: Run) -> None:
    record = data(run, PREDICTIONS)[5]
    run.topics[PREDICTIONS].append(replace(record, offset=900))
    run.end_transaction(PREDICTIONS, record.partition, record.time + 10)


@bug(DUPLICATED, SHADOW)
def a_shadow_prediction_is_visible_twice(run: Run) -> None:
    record = data(run, SHADOW)[5]
    run.topics[SHADOW].append(replace(record, offset=900))
    run.end_transaction(SHADOW, record.partition, record.time + 10)


@bug(PARTIAL, PREDICTIONS)
def a_committed_prediction_is_not_visible(run: Run) -> None:
    exchange(run, data(run, PREDICTIONS)[5], visible=False)


@bug(PARTIAL, FEATURES)
def a_prediction_is_in_the_next_transaction(run: Run) -> None:
    records = run.topics[PREDICTIONS]
    record = data(run, PREDICTIONS)[5]
    records.remove(record)
    marker = next(r for r in records if r.marker and r.partition == record.partition and r.time == record.time + 10)
    records.insert(records.index(marker) + 1, replace(record, time=marker.time + 50))


@bug(PARTIAL, PREDICTIONS)
def an_aborted_prediction_is_visible(run: Run) -> None:
    record = data(run, PREDICTIONS)[5]
    marker = next(
        r for r in run.topics[PREDICTIONS] if r.marker and r.partition == record.partition and r.offset > record.offset
    )
    exchange(run, marker, marker=False)


@bug(PARTIAL, PREDICTIONS)
def an_open_prediction_is_visible(run: Run) -> None:
    run.topics[PREDICTIONS].append(replace(data(run, PREDICTIONS)[5], offset=900))


@bug(PARTIAL, PREDICTIONS)
def a_prediction_is_written_outside_of_a_transaction(run: Run) -> None:
    exchange(run, data(run, PREDICTIONS)[5], transactional=False, producer=-1)


@bug(PARTIAL, PREDICTIONS)
def the_offsets_of_a_transaction_are_aborted(run: Run) -> None:
    """Half a transaction is committed: the predictions and hours."""
    exchange(run, [r for r in run.topics[OFFSETS] if r.marker][9], marker=False)


@bug(LOST, FEATURES)
def the_predictions_of_a_transaction_are_aborted(run: Run) -> None:
    """Half a transaction is committed: the offsets and hours."""
    time = [r for r in run.topics[OFFSETS] if r.marker][9].time
    for record in list(run.topics[PREDICTIONS]):
        if record.marker and record.time == time:
            exchange(run, record, marker=False)
        elif record.time == time - 10:
            exchange(run, record, visible=False)


@bug(PARTIAL, HOURS)
def the_hours_of_a_transaction_are_aborted(run: Run) -> None:
    """Half a transaction is committed: the offsets and predictions."""
    time = [r for r in run.topics[OFFSETS] if r.marker][9].time
    exchange(run, next(r for r in run.topics[HOURS] if r.marker and r.time == time), marker=False)
    exchange(run, next(r for r in data(run, HOURS) if r.time == time - 10), visible=False)


@bug(PARTIAL, HOURS)
def the_hours_of_a_transaction_stay_open(run: Run) -> None:
    run.topics[HOURS].remove([r for r in run.topics[HOURS] if r.marker][-1])
    exchange(run, data(run, HOURS)[-1], visible=False)


@bug(PARTIAL, HOURS)
def an_hour_is_written_outside_of_a_transaction(run: Run) -> None:
    exchange(run, data(run, HOURS)[3], transactional=False, producer=-1)


@bug(PARTIAL, HOURS)
def an_hour_is_in_a_transaction_of_its_own(run: Run) -> None:
    record = data(run, HOURS)[3]
    run.topics[HOURS].append(replace(record, offset=900, producer=PRODUCER + 1))
    run.topics[HOURS].append(replace(record, offset=901, producer=PRODUCER + 1, marker=True, visible=False))


@bug(PARTIAL, FEATURES)
def offsets_are_committed_beyond_the_log(run: Run) -> None:
    record = data(run, OFFSETS)[-1]
    key, value = offset_record(FEATURES, 2, 9_999)
    exchange(run, record, key=key, value=value)


@bug(PARTIAL, FEATURES)
def committed_offsets_go_back(run: Run) -> None:
    key, value = offset_record(FEATURES, 2, 1)
    exchange(run, data(run, OFFSETS)[-1], key=key, value=value)


@bug(UNEXPLAINED, PREDICTIONS)
def a_prediction_is_of_an_unknown_observation(run: Run) -> None:
    record = data(run, PREDICTIONS)[5]
    content = json.loads(record.value or b"") | {"timestamp": "2026-01-05T13:00:00.000Z"}
    exchange(run, record, content=content)


@bug(LOST, FEATURES)
def a_prediction_is_missing(run: Run) -> None:
    run.topics[PREDICTIONS].remove(data(run, PREDICTIONS)[5])


@bug(STORE_DIFFERS, RAW)
def a_row_of_an_observation_is_missing(run: Run) -> None:
    del run.store["observations"][4]


@bug(STORE_DIFFERS, RAW)
def a_row_of_an_observation_changed(run: Run) -> None:
    run.store["observations"][4]["pressure"] += 0.1


@bug(STORE_DIFFERS, RAW)
def the_store_has_an_observation_that_did_not_arrive(run: Run) -> None:
    run.store["observations"].append({**run.store["observations"][4], "station_id": "d"})


@bug(STORE_DIFFERS, FEATURES)
def the_stored_window_is_older_than_the_newest(run: Run) -> None:
    old = json.loads(last_window(run, "a", 3).value or b"")
    row = next(row for row in run.store["features"] if row["station_id"] == "a")
    row.update(old, window_end=datetime.fromisoformat(old["window_end"]))


@bug(STORE_DIFFERS, PREDICTIONS)
def a_row_of_a_prediction_is_missing(run: Run) -> None:
    del run.store["predictions"][6]


@bug(STORE_DIFFERS, PREDICTIONS)
def a_row_of_a_prediction_has_other_inputs(run: Run) -> None:
    run.store["predictions"][6]["inputs_hash"] = "x"


@bug(STORE_DIFFERS, SHADOW)
def a_row_of_a_shadow_prediction_changed(run: Run) -> None:
    run.store["shadow_predictions"][6]["predictions"]["temperature"][1] = 3.0


def _reject(run: Run, record: StoredRecord, reason: str) -> None:
    origin = {"topic": RAW, "partition": str(record.partition), "offset": str(record.offset)}
    run.append(REJECTED, record.key, record.value, record.time, [("reason", reason), *origin.items()])
