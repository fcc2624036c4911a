"""Inference and the sink behind the proxy: faults of connections, a killed broker, then the checker.

`CHAOS_FAULTS` and `CHAOS_SEED` set the number of faults and the seed; the default is one fault of each kind.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka.errors import KafkaError

from ray_jobs.inference.inference_loop import InferenceLoop, LostTransaction
from ray_jobs.inference.model_manager import ModelManager
from tests.chaos.check_observations import arrivals
from tests.chaos.check_predictions import check_predictions
from tests.chaos.check_store import check_store
from tests.chaos.proxied_broker import ProxiedBroker
from tests.chaos.proxy import Faults, Proxy
from tests.chaos.store_reader import read_store
from tests.chaos.topic_reader import OFFSETS, PREDICTIONS, read_topic, read_topics
from tests.chaos.transactions import transactions
from tests.conftest import TestBroker, free_ports, make_settings
from tests.ray_jobs.conftest import STOP_TIMEOUT, Feed
from tests.ray_jobs.windows import leading
from tests.waiting import LIMIT, until
from weatherglass.history.prepared import station_lookup
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.registry.registry import Registry
from weatherglass.settings import Settings
from weatherglass.sink.sink import Sink
from weatherglass.store.migrate import migrate

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]
COUNT = int(os.environ.get("CHAOS_FAULTS", "0"))
SEED = int(os.environ.get("CHAOS_SEED", "17"))
STATIONS = tuple(f"station-{number}" for number in range(4))
CLIENT = "ray-ml-inference"
FAULTS = {
    "delay": Faults(delay=0.2),
    "half_open": Faults(half_open=True),
    "end_delay": Faults(end_delay=600.0),
    "end_drop": Faults(end_drop=True),
}


class Inference:
    """Runs the loop in a thread, and starts it again when it gives up, as the supervisor does with the process."""

    def __init__(self, settings: Settings):
        self.starts = 0
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.starts += 1
            loop = InferenceLoop(
                self._settings, 0, ModelManager(Registry(self._settings)), station_lookup(self._settings)
            )
            try:
                loop.run(self._stopping)
            except (LostTransaction, KafkaError):
                continue


@pytest.fixture
def broker_and_proxy(tmp_path: Path) -> Iterator[tuple[TestBroker, Proxy]]:
    settings = make_settings(tmp_path / "broker")
    proxy = Proxy(settings.kafka_port)
    running = TestBroker(settings)
    running.broker = ProxiedBroker(settings, free_ports(1)[0], proxy.port)
    running.start()
    running.create_topics()
    yield running, proxy
    proxy.close()
    running.stop()


@contextmanager
def pipeline(settings: Settings, folder: JobFolder) -> Iterator[tuple[Inference, threading.Thread]]:
    """Inference, and the thread of the sink, which ends only on an error or on request."""
    folder.path.mkdir()
    sink = Sink(settings, Job(folder))
    storing = threading.Thread(target=sink.run, daemon=True)
    storing.start()
    inference = Inference(settings)
    try:
        yield inference, storing
    finally:
        inference.stop()
        folder.request_stop("the test")
        storing.join(STOP_TIMEOUT)
        sink.close()


def test_no_fault_of_the_connection_leaves_a_violation(
    broker_and_proxy: tuple[TestBroker, Proxy], tmp_path: Path
) -> None:
    broker, proxy = broker_and_proxy
    port = broker.settings.kafka_port
    settings = make_settings(tmp_path / "state", kafka_port=port)
    migrate(settings.store_url)
    pick, feed = random.Random(SEED), Feed(settings.bootstrap_servers)
    time = datetime.now(UTC).replace(second=30, microsecond=0) - timedelta(hours=3)
    faults = [*FAULTS, "reset", "broker_killed"]
    faults += pick.choices(faults, k=max(COUNT - len(faults), 0))
    pick.shuffle(faults)

    def predicted() -> set[bytes]:
        visible = (record for record in read_topic(port, PREDICTIONS) if record.visible)
        return {record.key or b"" for record in visible if text in (record.value or b"")}

    def stored(rows: int) -> bool:
        assert storing.is_alive()
        return len(read_store(settings.store_url)["predictions"]) == rows

    with pipeline(settings, JobFolder(tmp_path / "job")) as (inference, storing):
        for fault in faults:
            count = proxy.injected[fault]
            if fault == "reset":
                until("a connection", lambda: proxy.reset(CLIENT))
            elif fault == "broker_killed":
                broker.stop(signal.SIGKILL)
                broker.start()
            else:
                proxy.inject(FAULTS[fault], CLIENT)
            time += timedelta(minutes=1)
            text = time.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
            feed.send([leading(station, time, pick.uniform(0, 20)) for station in STATIONS])
            assert fault == "broker_killed" or proxy.wait_for(fault, count + 1, LIMIT)
            proxy.clear()
            until(f"the predictions after {fault}", lambda: len(predicted()) == len(STATIONS), interval=0.2)
        rows = len(faults) * len(STATIONS)
        until("the sink", lambda: stored(rows), interval=0.2)
        starts = inference.starts
    feed.close()
    topics = read_topics(port)
    found = [*check_predictions(topics), *check_store(read_store(settings.store_url), topics, arrivals(topics))]
    assert found == []
    assert len(transactions(topics[OFFSETS], CLIENT)) >= len(faults)
    print(f"seed {SEED}: {faults}, {starts} starts of inference, injected {dict(proxy.injected)}")
