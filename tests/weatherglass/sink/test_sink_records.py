"""How the sink handles invalid records and an unavailable store, without a broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from tests.weatherglass.store.samples import a_prediction, an_observation
from weatherglass.consumer.record_reader import log_skipped
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.records import Record
from weatherglass.settings import Settings
from weatherglass.sink import sink as module
from weatherglass.sink.sink import Sink, StoreError
from weatherglass.store import schema
from weatherglass.store.migrate import migrate
from weatherglass.topics import PREDICTIONS, RAW

NOW = datetime(2026, 1, 5, 12, 15, tzinfo=UTC)


def no_metrics(raw: bool) -> dict[object, object]:
    return {}


@pytest.fixture
def sink(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    for name in ("RecordReader", "KafkaProducer"):
        monkeypatch.setattr(module, name, lambda *_, **__: SimpleNamespace(close=lambda **_: None, metrics=no_metrics))
    migrate(settings.store_url)
    folder = JobFolder(tmp_path / "job")
    folder.path.mkdir()
    sink = Sink(settings, Job(folder))
    yield sink
    sink.close()


def message(topic: str, value: bytes, arrived: datetime = NOW) -> Any:
    milliseconds = int(arrived.timestamp() * 1000)
    return SimpleNamespace(topic=topic, partition=0, offset=7, value=value, headers=[], timestamp=milliseconds)


def record(topic: str, content: Record, arrived: datetime = NOW) -> Any:
    return message(topic, content.to_json(), arrived)


def stored(sink: Sink, table: Any) -> set[str]:
    with sink.store.connect() as connection:
        return set(connection.execute(select(table.c.station_id)).scalars())


def test_invalid_records_are_skipped_counted_and_logged(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    year_1 = json.dumps({"station_id": "x", "timestamp": "0001-01-01T00:00:00+01:00", "temperature": 1}).encode()
    sink._store(
        [
            message(RAW, b"{rubbish"),
            message(RAW, b""),
            message(RAW, year_1),
            message(PREDICTIONS, b"{}"),
            record(RAW, an_observation("boston", NOW)),
            record(PREDICTIONS, a_prediction("denver", NOW)),
        ]
    )
    assert stored(sink, schema.observations) == {"boston"}
    assert stored(sink, schema.predictions) == {"denver"}
    assert sink.counts == {"skipped": 4, RAW: 1, PREDICTIONS: 1}
    logged = [record.args for record in caplog.records if record.name == log_skipped.__module__]
    assert [args[:3] for args in logged if isinstance(args, tuple)] == [(RAW, 0, 7)] * 3 + [(PREDICTIONS, 0, 7)]


def test_an_observation_with_a_wrong_clock_is_skipped(sink: Sink) -> None:
    future = timedelta(minutes=sink.settings.future_tolerance_minutes)
    past = timedelta(hours=sink.settings.past_horizon_hours)
    second = timedelta(seconds=1)
    sink._store(
        [
            record(RAW, an_observation("ahead", NOW + future + second)),
            record(RAW, an_observation("in-time", NOW + future)),
            record(RAW, an_observation("old", NOW - past - second)),
            record(RAW, an_observation("recent", NOW - past)),
        ]
    )
    assert stored(sink, schema.observations) == {"in-time", "recent"}


def test_a_record_that_the_database_rejects_is_skipped_and_the_others_are_stored(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = module.SAVE_FUNCTIONS[RAW]

    def rejecting(connection: Any, records: Any, inputs: Any, now: Any, source: Any) -> None:
        if any(observation.station_id == "bad" for observation in records):
            raise module.DataError("INSERT", {}, ValueError("value too long"))
        save(connection, records, inputs, now, source)

    monkeypatch.setitem(module.SAVE_FUNCTIONS, RAW, rejecting)
    sink._store([record(RAW, an_observation(station, NOW)) for station in ("boston", "bad", "denver")])
    assert stored(sink, schema.observations) == {"boston", "denver"}
    assert sink.counts == {RAW: 2, "skipped": 1}


def failing(times: int, save: Any) -> Any:
    remaining = [times]

    def save_or_fail(*arguments: Any) -> None:
        if remaining[0]:
            remaining[0] -= 1
            raise OperationalError("INSERT", {}, ConnectionError("refused"))
        save(*arguments)

    return save_or_fail


def test_the_sink_retries_with_doubled_pauses_while_the_store_is_unavailable(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(sink.job, "wait", lambda seconds: bool(pauses.append(seconds)))
    monkeypatch.setitem(module.SAVE_FUNCTIONS, RAW, failing(6, module.SAVE_FUNCTIONS[RAW]))
    sink._store([record(RAW, an_observation("boston", NOW))])
    assert stored(sink, schema.observations) == {"boston"}
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, module.MAX_RETRY_PAUSE]
    progress = sink.job.folder.last_progress()
    assert progress is not None
    assert progress["store_available"] is False


def test_the_sink_fails_when_the_store_is_unavailable_for_too_long_or_a_stop_is_requested(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.SAVE_FUNCTIONS, RAW, failing(1, None))
    monkeypatch.setattr(module, "STORE_TIMEOUT", -1.0)
    with pytest.raises(StoreError):
        sink._store([record(RAW, an_observation())])
    monkeypatch.setattr(module, "STORE_TIMEOUT", 60.0)
    monkeypatch.setattr(sink.job, "wait", lambda _: True)
    monkeypatch.setitem(module.SAVE_FUNCTIONS, RAW, failing(1, None))
    with pytest.raises(StoreError):
        sink._store([record(RAW, an_observation())])


class FakeReader:
    """A reader with one partition of observations, whose broker does not answer some calls.

    Attributes:
        unanswered: names of the calls that are not answered, each as often as it occurs.
        committed: positions of the commits.
    """

    def __init__(self, records: list[Any], unanswered: list[str], stop: Callable[[], None]):
        self.unanswered, self.committed = unanswered, list[int]()
        self.undecodable = self._position = 0
        self.assignment: set[TopicPartition] = set()
        self._records, self._stop = records, stop
        self.client = SimpleNamespace(metrics=no_metrics)

    def partitions_of(self, topic: str) -> list[TopicPartition]:
        self._answer("partitions_of")
        return [TopicPartition(topic, 0)] if topic == RAW else []

    def assign(self, partitions: set[TopicPartition]) -> None:
        self._answer("assign")
        self.assignment = partitions

    def poll(self, _: int, __: int) -> dict[TopicPartition, list[Any]]:
        self._answer("poll")
        assert self.assignment
        if self._position == len(self._records):
            self._stop()
            return {}
        self._position += 1
        return {TopicPartition(RAW, 0): [self._records[self._position - 1]]}

    def commit(self) -> None:
        self._answer("commit")
        self.committed.append(self._position)

    def lag(self) -> int:
        self._answer("lag")
        return 0

    def close(self) -> None:
        pass

    def _answer(self, call: str) -> None:
        if call in self.unanswered:
            self.unanswered.remove(call)
            raise KafkaTimeoutError


@pytest.mark.parametrize("call", ["partitions_of", "assign", "poll", "commit", "lag"])
def test_the_sink_continues_after_a_call_that_the_broker_did_not_answer(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    stations = ("boston", "denver", "miami")
    reader = FakeReader(
        [record(RAW, an_observation(station, NOW)) for station in stations], [call] * len(stations), sink.job._stop.set
    )
    monkeypatch.setattr(sink, "reader", reader)
    monkeypatch.setattr(module, "BROKER_RETRY_PAUSE", 0.0)
    sink.run()
    assert reader.unanswered == []
    assert stored(sink, schema.observations) == set(stations)
    assert reader.committed[-1] == len(stations)


def test_the_sink_fails_when_the_broker_does_not_answer_for_too_long(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "reader", FakeReader([], ["poll"] * 10, sink.job._stop.set))
    monkeypatch.setattr(module, "BROKER_TIMEOUT", -1.0)
    with pytest.raises(KafkaTimeoutError):
        sink.run()
