"""What the tests of serving share: a feed of features, what came of it, and a real Ray head."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from ray_jobs.inference.champion import Champions
from ray_jobs.inference.service import Service
from stack import ray_head as head
from stack.credentials import Credentials
from tests.conftest import TestBroker, make_settings
from tests.ray_jobs import small_models
from tests.ray_jobs.windows import leading
from weatherglass.history import catalogue
from weatherglass.models.boosted import BoostedForecaster
from weatherglass.models.registry import Registry
from weatherglass.records import Origin, Prediction, WindowFeatures, headers
from weatherglass.settings import Settings
from weatherglass.topics import FEATURES, PREDICTIONS

PATIENCE = 120.0
"""Seconds that anything may take on a slow machine."""


def until(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


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
    """Everything on a topic that a careful consumer sees, up to its end now."""
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
    """A careful consumer that stays: everything committed to a topic so far, in the order it came."""

    def __init__(self, bootstrap: str, topic: str = PREDICTIONS):
        self.records: list[ConsumerRecord] = []
        self._lock = threading.Lock()
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest", group_id=None
        )
        until(lambda: self._consumer.partitions_for_topic(topic), f"{topic} is there")
        self._consumer.assign([TopicPartition(topic, n) for n in self._consumer.partitions_for_topic(topic)])

    def read(self) -> list[Prediction]:
        """The predictions so far."""
        with self._lock:
            for records in self._consumer.poll(timeout_ms=50).values():
                self.records += records
        return [Prediction.from_json(record.value) for record in self.records]

    def answered(self) -> list[tuple[str, datetime]]:
        """Identities of the predictions so far, as often as they came."""
        return [(prediction.station_id, prediction.timestamp) for prediction in self.read()]

    def close(self) -> None:
        self._consumer.close()


class Rounds:
    """A load of rounds: a leading record for each station, and the next ones when all of these are answered.

    So every record that is sent needs an answer, whatever the batches are.
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
        self._thread.join(6 * PATIENCE)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def wait(self, count: int) -> None:
        """Wait until so many more rounds have been answered."""
        goal = self.done + count
        until(lambda: self.done >= goal or self.failure, f"{count} rounds answered", 5 * PATIENCE)
        assert self.failure is None

    @property
    def done(self) -> int:
        return max(0, len(self.sent) // len(self._stations) - 1)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._time += timedelta(minutes=1)
                wanted = [(station, self._time) for station in self._stations]
                self.sent += wanted
                self._feed.send([leading(*one) for one in wanted])
                until(
                    lambda wanted=wanted: set(wanted) <= set(self._reader.answered()),
                    f"answers of {self._time}",
                    5 * PATIENCE,
                )
        except BaseException as error:
            self.failure = error


def predictions(bootstrap: str) -> list[Prediction]:
    return [Prediction.from_json(record.value) for record in committed(bootstrap)]


@contextmanager
def serving(settings: Settings, shard: int = 0) -> Iterator[tuple[Service, Champions]]:
    """The service in a thread of this process, drained at the end."""
    champions = Champions(Registry(settings))
    service = Service(settings, shard, champions, catalogue(settings))
    stopping = threading.Event()
    thread = threading.Thread(target=service.run, args=(stopping,), daemon=True)
    thread.start()
    try:
        until(lambda: service.figures.phase == "serving" or not thread.is_alive(), "recovered")
        yield service, champions
    finally:
        stopping.set()
        thread.join(PATIENCE)
        assert service.figures.phase == "drained"


@pytest.fixture(scope="session")
def forecaster() -> BoostedForecaster:
    return small_models.without_trees()


@pytest.fixture
def serving_settings(fresh_broker: TestBroker, tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "state", kafka_port=fresh_broker.settings.kafka_port)


@pytest.fixture
def feed(serving_settings: Settings) -> Iterator[Feed]:
    made = Feed(serving_settings.bootstrap_servers)
    yield made
    made.close()


@pytest.fixture
def ray_head(serving_settings: Settings, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the Ray head of `serving_settings`, in a session of its own; it is ended after the test."""
    started: list[subprocess.Popen[bytes]] = []
    log = tmp_path / "ray.log"

    def attempt() -> subprocess.Popen[bytes]:
        head.prepare(serving_settings)
        environment = {**os.environ, **head.client_environment(Credentials(serving_settings))}
        program = head.program(serving_settings, Path(sys.executable).parent, environment)
        with log.open("wb") as out:
            process = subprocess.Popen(
                program.argv, env=program.environment, stdout=out, stderr=out, start_new_session=True
            )
        started.append(process)
        until(lambda: process.poll() is not None or b"Ray runtime started" in log.read_bytes(), "the Ray head is up")
        return process

    def start() -> subprocess.Popen[bytes]:
        """Ray itself gives up on a start that takes half a minute, as it may on a busy machine; then once more."""
        for _ in range(3):
            process = attempt()
            if process.poll() is None:
                return process
            end_group(process)
        raise AssertionError(log.read_text())

    yield start
    for process in started:
        end_group(process)
    head.clean(serving_settings)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process with all it started in its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)
