"""The whole service: the watcher as a job, the actors on a real Ray head, a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.conftest import TestBroker
from tests.ray_heads import end_group
from tests.ray_jobs.conftest import PATIENCE, Feed, Reader, Rounds
from tests.ray_jobs.small_models import crown, mad
from tests.ray_jobs.windows import START
from tests.waiting import until
from weatherglass.alerts.health import inference
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.jobs.folder import JobFolder
from weatherglass.launcher.credentials import Credentials
from weatherglass.launcher.ray_head import client_environment
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.topics import PREDICTIONS

pytestmark = pytest.mark.integration

STATIONS = ("new-york", "boston", "miami", "chicago", "denver", "seattle")


@contextmanager
def watcher(settings: Settings, folder: JobFolder) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        **client_environment(Credentials(settings)),
        "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        "WEATHERGLASS_KAFKA_PORT": str(settings.kafka_port),
        "WEATHERGLASS_RAY_PORT": str(settings.ray_port),
        "WEATHERGLASS_INFERENCE_ACTORS": str(settings.inference_actors),
    }
    command = [sys.executable, "-m", "ray_jobs.serve_predictions", str(folder.path)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        end_group(process)


def pids(folder: JobFolder) -> list[int]:
    return (folder.last_progress() or {}).get("pids", [])


class Transactions:
    """Sees transactions on the predictions while they are open: written, and not yet committed."""

    def __init__(self, bootstrap: str):
        self._all, self._committed = (
            KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, isolation_level=level)
            for level in ("read_uncommitted", "read_committed")
        )
        self._partitions = [TopicPartition(PREDICTIONS, n) for n in self._all.partitions_for_topic(PREDICTIONS) or ()]

    def open(self) -> bool:
        settled = self._committed.end_offsets(self._partitions)
        return self._all.end_offsets(self._partitions) != settled

    def close(self) -> None:
        for consumer in (self._all, self._committed):
            consumer.close()


def said(what: str, since: float) -> None:
    """For who runs the test to measure (`pytest -s`); no time is asserted."""
    print(f"{what}: {time.monotonic() - since:.1f} s")


@pytest.mark.timeout(1800)  # two Ray heads and ten processes of actors, one after the other
def test_whatever_is_killed_every_record_is_answered_once(
    serving_settings: Settings,
    fresh_broker: TestBroker,
    feed: Feed,
    ray_head: Callable[[], subprocess.Popen[bytes]],
    forecaster: BoostedForecaster,
    tmp_path: Path,
) -> None:
    """One long story under load: the watcher, actors in mid-transaction, models, the broker, ownership, the head."""
    settings = serving_settings.model_copy(update={"inference_actors": 2})
    folders = iter(JobFolder(tmp_path / f"job{number}") for number in range(10))
    head = ray_head()
    first = crown(settings, forecaster, tmp_path / "first")
    reader, transactions = Reader(settings.bootstrap_servers), Transactions(settings.bootstrap_servers)

    def served_by(version: str) -> None:
        since, began = time.monotonic(), len(reader.read())
        until(
            f"an answer of version {version}",
            lambda: version in {p.predictions.model_version for p in reader.read()[began:]},
        )
        said(f"version {version} serves", since)

    with Rounds(feed, reader, STATIONS, START) as load:
        folder = next(folders)
        with watcher(settings, folder) as process:
            load.wait(3)
            served_by(first)
            until("both actors serve", lambda: len(pids(folder)) == 2)
            actors = pids(folder)

            # The watcher is killed: the actors answer on, and the next watcher finds them.
            process.kill()
            process.wait(PATIENCE)
            load.wait(3)
        folder = next(folders)
        with watcher(settings, folder):
            until("attached", lambda: pids(folder))
            assert pids(folder) == actors
            health = {part.name: part for part in inference(folder)}
            assert {"actor inference-0", "actor inference-1", "model forecaster"} <= set(health)
            assert health["model forecaster"].state == "ok"

            # Models are swapped, refused and rolled back; the actors see to it themselves.
            registry = Registry(settings)
            second = crown(settings, forecaster, tmp_path / "second")
            served_by(second)
            hot = crown(settings, mad(forecaster), tmp_path / "mad")
            until("the mad one is refused", lambda: hot in registry.refused(FORECASTER) or load.failure)
            load.wait(2)
            assert registry.roll_back(FORECASTER, "an operator", "mad").to_version == second
            assert registry.roll_back(FORECASTER, "an operator", "not good").to_version == first
            served_by(first)

            # Actors are killed while a transaction is open.
            killed: set[int] = set()
            for _ in range(2):
                until("both actors serve", lambda: len(set(pids(folder)) - killed) == 2)
                until("a transaction is open", transactions.open)
                since = time.monotonic()
                for pid in set(pids(folder)) - killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                load.wait(2)
                said("two rounds after actors were killed", since)
            until("restarts are told", lambda: (folder.last_progress() or {}).get("restarts"))

            # The broker is restarted, in good order and not.
            for sig in (signal.SIGTERM, signal.SIGKILL):
                fresh_broker.stop(sig)
                since = time.monotonic()
                fresh_broker.start()
                load.wait(2)
                said(f"two rounds after the broker's {sig.name}", since)

        # Another number of actors: the partitions change hands while records come in.
        fewer, folder = settings.model_copy(update={"inference_actors": 1}), next(folders)
        with watcher(fewer, folder) as process:
            until("one actor serves", lambda: len(pids(folder)) == 1)
            load.wait(3)

            # The head is killed with all it holds.
            end_group(head)
            assert process.wait(PATIENCE) != 0
        assert not folder.outcome().ok
        assert "Ray" in folder.outcome().why
        until("the actors have ended", lambda: not any(map(psutil.pid_exists, pids(folder))))
        since = time.monotonic()
        ray_head()
        folder = next(folders)
        with watcher(fewer, folder) as process:
            load.wait(3)
            said("three rounds after the head was started again", since)
            folder.request_stop("the test")
            assert process.wait(PATIENCE) == 0
            until("drained", lambda: not any(map(psutil.pid_exists, pids(folder))))
            done = len(reader.read())
            with watcher(fewer, next(folders)):
                load.wait(2)
    assert len(reader.read()) > done
    counts = Counter(reader.answered())
    assert {key for key, count in counts.items() if count > 1} == set(), "an answer came twice"
    assert set(load.sent) == set(counts), "an answer is missing"
    assert {p.predictions.model_version for p in reader.read()} == {first, second}
    print(f"{len(load.sent)} records, each answered once")
    for one in (reader, transactions):
        one.close()


def test_without_a_head_it_says_so_and_ends(serving_settings: Settings, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "job")
    with watcher(serving_settings, folder) as process:
        assert process.wait(PATIENCE) != 0
    outcome = folder.outcome()
    assert not outcome.ok
    assert f"no Ray head at {serving_settings.ray_head}" in outcome.why
    assert "WEATHERGLASS_RAY_PORT" in outcome.why
