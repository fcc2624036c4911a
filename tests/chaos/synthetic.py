"""A correct run made of lists: what a pipeline that works leaves on the topics and in the store.

Three stations report every minute. Their messages are read in one batch per minute, the windows of the SQL oracle are
published whenever they change, and each batch of windows is predicted in one transaction.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos.check_observations import CLOSING_DELAY
from tests.chaos.journal import Entry
from tests.chaos.log_reader import StoredRecord
from tests.chaos.parsed import MINUTE, WIDTH, window_ends
from tests.chaos.store_reader import TABLES, Rows
from tests.chaos.topic_reader import FEATURES, HOURS, OFFSETS, PREDICTIONS, RAW, REJECTED, SHADOW, TOPICS
from tests.oracle import VARIABLES, expected_features

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
STATIONS = ("a", "b", "c")
MINUTES = 26
GROUP, PRODUCER = "ray-ml-inference", 4001
VERSION = "7"


def iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


@dataclass
class Run:
    """Topics, store and journal. The methods play the programs of the pipeline."""

    topics: dict[str, list[StoredRecord]] = field(default_factory=lambda: {name: [] for name in TOPICS})
    store: Rows = field(default_factory=lambda: {name: [] for name in TABLES})
    journal: list[Entry] = field(default_factory=list)

    def append(
        self,
        topic: str,
        key: str | bytes | None,
        value: Any,
        time: int,
        headers: Sequence[tuple[str, str]] = (),
        **fields: Any,
    ) -> StoredRecord:
        """Append a record; a station has the partition of its letter on topics with several."""
        partition = STATIONS.index(key) if topic in (RAW, FEATURES, PREDICTIONS) and key in STATIONS else 0
        content = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else _json(value)
        same = [record for record in self.topics[topic] if record.partition == partition]
        record = StoredRecord(
            *(topic, partition, len(same), time, key.encode() if isinstance(key, str) else key, content),
            tuple((name, text.encode()) for name, text in headers),
            **fields,
        )
        self.topics[topic].append(record)
        return record

    def end_transaction(self, topic: str, partition: int, time: int, committed: bool = True) -> None:
        """Append the marker of the transaction to a partition."""
        same = [record for record in self.topics[topic] if record.partition == partition]
        marker = StoredRecord(topic, partition, len(same), time, b"", b"", (), PRODUCER, 0, True, committed, False)
        self.topics[topic].append(marker)


def correct_run() -> Run:
    """The run; no check finds a violation in it."""
    run, pick = Run(), random.Random(1)
    stream, inference = _Stream(run), _Inference(run)
    for minute in range(MINUTES):
        now = START + minute * MINUTE
        messages = [_observation(pick, station, now) for station in STATIONS]
        if minute == 3:
            messages += [dict(messages[0]), _observation(pick, "b", now - 70 * timedelta(seconds=1))]
        if minute == 5:
            messages.append({**messages[1], "temperature": 1.5})
        if minute == 8:
            messages.append({**messages[2], "temperature": 99.0})  # used in no mean, but no reason to reject
        if minute == 20:
            messages.append(_observation(pick, "c", now - timedelta(hours=1)))
            messages.append(_observation(pick, "a", now - timedelta(minutes=13, seconds=20)))  # late for some windows
        sent = [run.append(RAW, m["station_id"], m, milliseconds(now) + 100 + n) for n, m in enumerate(messages)]
        if minute == 10:
            sent.append(run.append(RAW, "b", "{", milliseconds(now) + 200))
        run.journal += [
            Entry(RAW, (r.key or b"").decode(), (r.value or b"").decode(), r.partition, r.offset) for r in sent
        ]
        stream.process(sent, milliseconds(now) + 300)
        inference.process(milliseconds(now) + 400)
    run.journal.append(Entry(RAW, "a", "unknown outcome"))
    _fill_store(run)
    return run


def _observation(pick: random.Random, station: str, now: datetime) -> dict[str, Any]:
    values = {"temperature": 20.0, "humidity": 60.0, "pressure": 1010.0, "wind_speed": 4.0, "wind_direction": 180.0}
    time = now - timedelta(milliseconds=pick.randrange(1, 900))
    return {"station_id": station, "timestamp": iso(time)} | {
        k: round(v + pick.gauss(0, 1), 1) for k, v in values.items()
    }


class _Stream:
    """The features job."""

    def __init__(self, run: Run):
        self._run = run
        self._accepted: list[dict[str, Any]] = []
        self._newest: dict[str, datetime] = {}
        self._published: dict[tuple[str, datetime], str] = {}

    def process(self, messages: Sequence[StoredRecord], time: int) -> None:
        closed = {station: newest - CLOSING_DELAY for station, newest in self._newest.items()}
        for message in messages:
            try:
                observation = json.loads(message.value or b"")
            except ValueError:
                self._reject(message, "invalid_json", time)
                continue
            station, at = observation["station_id"], datetime.fromisoformat(observation["timestamp"])
            if station in closed and window_ends(at)[-1] <= closed[station]:
                self._reject(message, "late", time)
                self._reject(message, "late", time)  # published again after a crash
                continue
            self._accepted.append(observation)
            self._newest[station] = max(at, self._newest.get(station, at))
        for (station, end), features in expected_features(self._accepted).items():
            content = json.dumps(
                {
                    "station_id": station,
                    "window_start": iso(end - WIDTH),
                    "window_end": iso(end),
                    "aggregated_features": {**features, "last_observation": iso(features["last_observation"])},
                }
            )
            is_closed = station in closed and end <= closed[station]
            if not is_closed and self._published.get((station, end)) != content:
                self._published[station, end] = content
                self._run.append(FEATURES, station, content, time)

    def _reject(self, message: StoredRecord, reason: str, time: int) -> None:
        origin = {"topic": message.topic, "partition": str(message.partition), "offset": str(message.offset)}
        self._run.append(REJECTED, message.key, message.value, time, [("reason", reason), *origin.items()])


class _Inference:
    """The inference actor."""

    def __init__(self, run: Run):
        self._run = run
        self._read = 0

    def process(self, time: int) -> None:
        batch = self._run.topics[FEATURES][self._read :]
        self._read += len(batch)
        newest: dict[str, dict[str, Any]] = {}
        for record in batch:
            window = json.loads(record.value or b"")
            last = datetime.fromisoformat(window["aggregated_features"]["last_observation"])
            if timedelta() < datetime.fromisoformat(window["window_end"]) - last <= MINUTE:
                newest[window["station_id"]] = window
        touched: set[tuple[str, int]] = set()
        written: dict[str, Any] = {"producer": PRODUCER, "epoch": 0, "transactional": True}
        for station, window in newest.items():
            prediction = {
                "station_id": station,
                "timestamp": window["aggregated_features"]["last_observation"],
                "predictions": {"temperature": [1.0, 2.0], "model_version": VERSION},
                "anomaly": {"is_anomaly": False, "flags": []},
                "confidence": {"level": 0.9},
            }
            headers = [("inputs", f"hash of {_json(window)!r}"[:64] + str(self._read))]
            for topic in (PREDICTIONS, SHADOW):
                record = self._run.append(topic, station, prediction, time, headers, **written)
                touched.add((topic, record.partition))
        hour = {"station_id": "a", "hour": iso(START)}
        self._run.append(HOURS, f"a|{iso(START)}", hour, time, **written)
        touched.add((HOURS, 0))
        for partition in range(len(STATIONS)):
            offset = sum(record.partition == partition for record in self._run.topics[FEATURES])
            self._run.append(OFFSETS, *offset_record(FEATURES, partition, offset), time + 5, **written)
        for topic, partition in (*touched, (OFFSETS, 0)):
            self._run.end_transaction(topic, partition, time + 10)


def offset_record(topic: str, partition: int, offset: int) -> tuple[bytes, bytes]:
    """Key and value of a record on `__consumer_offsets`."""
    key = struct.pack(">h", 1)
    for name in (GROUP, topic):
        key += struct.pack(">h", len(name)) + name.encode()
    return key + struct.pack(">i", partition), struct.pack(">hqi", 3, offset, -1)


def _fill_store(run: Run) -> None:
    """The sink: the last record of each identity."""
    observations: dict[Any, Any] = {}
    for record in run.topics[RAW]:
        if (record.value or b"").startswith(b'{"'):
            content = json.loads(record.value or b"")
            time = datetime.fromisoformat(content["timestamp"])
            observations[content["station_id"], time] = {
                "station_id": content["station_id"],
                "timestamp": time,
                **{name: content[name] for name in VARIABLES},
            }
    windows: dict[str, Any] = {}
    for record in run.topics[FEATURES]:
        window = json.loads(record.value or b"")
        end = datetime.fromisoformat(window["window_end"])
        last = datetime.fromisoformat(window["aggregated_features"]["last_observation"])
        station = window["station_id"]
        if end - last <= MINUTE and (station not in windows or end >= windows[station]["window_end"]):
            windows[station] = {**window, "window_end": end}
    rows: dict[str, dict[Any, Any]] = {PREDICTIONS: {}, SHADOW: {}}
    for topic, found in rows.items():
        for record in (r for r in run.topics[topic] if r.marker is None):
            content = json.loads(record.value or b"")
            content["timestamp"] = datetime.fromisoformat(content["timestamp"])
            content["inputs_hash"] = (record.header("inputs") or b"").decode()
            content["model_version"] = VERSION
            found[content["station_id"], content["timestamp"]] = content
    run.store["observations"] = list(observations.values())
    run.store["features"] = list(windows.values())
    run.store["predictions"] = list(rows[PREDICTIONS].values())
    run.store["shadow_predictions"] = list(rows[SHADOW].values())


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
