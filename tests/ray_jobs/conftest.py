"""Fixtures of the inference tests: a producer of features, readers of predictions, and a Ray head."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from ray_jobs.inference.inference_loop import InferenceLoop
from ray_jobs.inference.model_manager import ModelManager
from tests.conftest import TestBroker, make_settings
from tests.ray_heads import ray_heads
from tests.ray_jobs import small_models
from tests.ray_jobs.windows import leading
from tests.waiting import until
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.prepared import station_lookup
from weatherglass.record_headers import Origin, headers
from weatherglass.records import (
    Prediction,
    WindowFeatures,
)
from weatherglass.registry.registry import Registry
from weatherglass.settings import Settings
from weatherglass.topics import FEATURES, PREDICTIONS

STOP_TIMEOUT = 120.0
"""Timeout in seconds for the end of a process or thread."""
ROUNDS_TIMEOUT = 600.0
"""Timeout in seconds for rounds during which jobs are killed and restarted."""


class Feed:
    """Publishes features as the stream does, keyed by station."""

    def __init__(self, bootstrap: str):
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0)

    def send(self, windows: Iterable[WindowFeatures]) -> None:
        for window in windows:
            about = headers(window, Origin.SIMULATED, datetime.now(UTC))
            self._producer.send(FEATURES, key=window.station_id.encode(), value=window.to_json(), headers=about)
        self._producer.flush()

    def send_raw(self, value: bytes, key: bytes = b"new-york") -> None:
        self._producer.send(FEATURES, key=key, value=value)
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


def committed(bootstrap: str, topic: str = PREDICTIONS) -> list[ConsumerRecord]:
    """All committed records of a topic up to its current end."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest", group_id=None
    )
    try:
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        records: list[ConsumerRecord] = []
        while any((consumer.position(tp) or 0) < end for tp, end in ends.items()):
            records += [record for some in consumer.poll(timeout_ms=200).values() for record in some]
        return records
    finally:
        consumer.close()


class Reader:
    """A read-committed consumer that keeps all records of a topic in order of arrival."""

    def __init__(self, bootstrap: str, topic: str = PREDICTIONS):
        self.records: list[ConsumerRecord] = []
        self._lock = threading.Lock()
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest", group_id=None
        )
        until(topic, lambda: self._consumer.partitions_for_topic(topic))
        self._consumer.assign([TopicPartition(topic, n) for n in self._consumer.partitions_for_topic(topic)])

    def read(self) -> list[Prediction]:
        """All predictions so far."""
        with self._lock:
            for records in self._consumer.poll(timeout_ms=50).values():
                self.records += records
        return [Prediction.from_json(record.value) for record in self.records]

    def predicted(self) -> list[tuple[str, datetime]]:
        """Station and time of all predictions so far, with duplicates."""
        return [(prediction.station_id, prediction.timestamp) for prediction in self.read()]

    def close(self) -> None:
        self._consumer.close()


class Rounds:
    """A load in rounds: one leading window for each station, then the next round when all of them are predicted.

    Every window therefore needs a prediction, independent of how the windows are grouped in batches.
    """

    def __init__(self, feed: Feed, reader: Reader, stations: Sequence[str], start: datetime):
        self.sent: list[tuple[str, datetime]] = []
        self.failure: BaseException | None = None
        self._feed, self._reader, self._stations, self._time = feed, reader, stations, start
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Rounds:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(ROUNDS_TIMEOUT + STOP_TIMEOUT)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def wait(self, count: int) -> None:
        """Wait until `count` more rounds have been predicted."""
        goal = self.done + count
        until(f"{count} predicted rounds", lambda: self.done >= goal or self.failure, ROUNDS_TIMEOUT)
        assert self.failure is None

    @property
    def done(self) -> int:
        return max(0, len(self.sent) // len(self._stations) - 1)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._time += timedelta(minutes=1)
                expected = [(station, self._time) for station in self._stations]
                self.sent += expected
                self._feed.send([leading(*key) for key in expected])
                until(
                    f"predictions for {self._time}",
                    lambda expected=expected: set(expected) <= set(self._reader.predicted()),
                    ROUNDS_TIMEOUT,
                )
        except BaseException as error:
            self.failure = error


def predictions(bootstrap: str) -> list[Prediction]:
    return [Prediction.from_json(record.value) for record in committed(bootstrap)]


@contextmanager
def serving(settings: Settings, shard: int = 0) -> Iterator[tuple[InferenceLoop, ModelManager]]:
    """Run the service in a thread of this process, and drain it at the end."""
    models = ModelManager(Registry(settings))
    service = InferenceLoop(settings, shard, models, station_lookup(settings))
    stopping = threading.Event()
    thread = threading.Thread(target=service.run, args=(stopping,), daemon=True)
    thread.start()
    try:
        until("the end of the recovery", lambda: service.statistics.phase == "serving" or not thread.is_alive())
        yield service, models
    finally:
        stopping.set()
        thread.join(STOP_TIMEOUT)
        assert service.statistics.phase == "drained"


@pytest.fixture(scope="session")
def forecaster() -> BoostedForecaster:
    return small_models.without_trees()


@pytest.fixture
def serving_settings(fresh_broker: TestBroker, tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state", kafka_port=fresh_broker.settings.kafka_port)


@pytest.fixture
def feed(serving_settings: Settings) -> Iterator[Feed]:
    feed = Feed(serving_settings.bootstrap_servers)
    yield feed
    feed.close()


@pytest.fixture
def ray_head(serving_settings: Settings, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the Ray head of `serving_settings` in its own session; it is ended after the test."""
    with ray_heads(serving_settings, tmp_path / "ray.log") as start:
        yield start
