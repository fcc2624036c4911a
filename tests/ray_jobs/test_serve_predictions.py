"""The whole service: the supervisor as a job, the actors on a Ray head, a broker."""

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
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
from kafka import KafkaConsumer, TopicPartition
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayError

from ray_jobs import serve_predictions as module
from ray_jobs.serve_predictions import ActorSupervisor, RayUnhealthy
from tests.conftest import TestBroker
from tests.ray_heads import end_group
from tests.ray_jobs.conftest import STOP_TIMEOUT, Feed, Reader, Rounds
from tests.ray_jobs.small_models import register_champion, with_impossible_heat
from tests.ray_jobs.windows import START
from tests.waiting import until
from weatherglass.alerts.health import inference_components
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.launcher.credentials import Credentials
from weatherglass.launcher.ray_head import client_environment
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.topics import PREDICTIONS

pytestmark = pytest.mark.integration

STATIONS = ("new-york", "boston", "miami", "chicago", "denver", "seattle")


@contextmanager
def supervisor(
    settings: Settings, folder: JobFolder, module_name: str = "ray_jobs.serve_predictions"
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        **client_environment(Credentials(settings)),
        "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        "WEATHERGLASS_KAFKA_PORT": str(settings.kafka_port),
        "WEATHERGLASS_RAY_PORT": str(settings.ray_port),
        "WEATHERGLASS_INFERENCE_ACTORS": str(settings.inference_actors),
    }
    command = [sys.executable, "-m", module_name, str(folder.path)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        end_group(process)


def test_records_that_are_only_skipped_are_reported(settings: Settings) -> None:
    """The monitor counts what is reported: a batch without a usable record counts too."""
    folder = JobFolder(settings.jobs_dir / "serve_predictions")
    folder.path.mkdir(parents=True)
    reporter = ActorSupervisor(settings, Job(folder))
    names = ("records", "predictions", "rejected", "hours", "batches", "batch_ms", "lag", "rss_mb")
    traffic = {"kafka_bytes_per_second": {"received": 1.5, "sent": 0.5}}
    health = {**dict.fromkeys(names, 0), **traffic, "forecaster": "7", "detector": "3"}
    reporter._states = {"actors": {}, "models": {}}
    reporter._report_counts([health], changed=False)
    reporter._report_counts([{**health, "rejected": 1}, {**health, "rejected": 1}], changed=False)
    report = folder.last_progress() or {}
    assert report["rejected"] == 2
    assert report["kafka_bytes_per_second"] == {"received": 3.0, "sent": 1.0}


def pids(folder: JobFolder) -> list[int]:
    return (folder.last_progress() or {}).get("pids", [])


class Transactions:
    """Detects open transactions on the predictions: written, and not yet committed."""

    def __init__(self, bootstrap: str):
        self._all, self._committed = (
            KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, isolation_level=level)
            for level in ("read_uncommitted", "read_committed")
        )
        self._partitions = [TopicPartition(PREDICTIONS, n) for n in self._all.partitions_for_topic(PREDICTIONS) or ()]

    def open(self) -> bool:
        stable = self._committed.end_offsets(self._partitions)
        return self._all.end_offsets(self._partitions) != stable

    def close(self) -> None:
        for consumer in (self._all, self._committed):
            consumer.close()


def print_duration(what: str, since: float) -> None:
    """For measurements with `pytest -s`; no duration is asserted."""
    print(f"{what}: {time.monotonic() - since:.1f} s")


@pytest.mark.timeout(1800)  # two Ray heads and ten processes of actors, one after the other
def test_every_record_is_predicted_once_when_processes_are_killed(
    serving_settings: Settings,
    fresh_broker: TestBroker,
    feed: Feed,
    ray_head: Callable[[], subprocess.Popen[bytes]],
    forecaster: BoostedForecaster,
    tmp_path: Path,
) -> None:
    """Under load: kills the supervisor, actors in a transaction, the broker and the head; changes models and shards."""
    settings = serving_settings.model_copy(update={"inference_actors": 2})
    folders = iter(JobFolder(tmp_path / f"job{number}") for number in range(10))
    head = ray_head()
    first = register_champion(settings, forecaster, tmp_path / "first")
    reader, transactions = Reader(settings.bootstrap_servers), Transactions(settings.bootstrap_servers)

    def wait_for_version(version: str) -> None:
        since, began = time.monotonic(), len(reader.read())
        until(
            f"a prediction of version {version}",
            lambda: version in {p.predictions.model_version for p in reader.read()[began:]},
        )
        print_duration(f"version {version} serves", since)

    with Rounds(feed, reader, STATIONS, START) as load:
        folder = next(folders)
        with supervisor(settings, folder) as process:
            load.wait(3)
            wait_for_version(first)
            until("both actors", lambda: len(pids(folder)) == 2)
            actors = pids(folder)
            assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in actors} == {os.getpriority(os.PRIO_PROCESS, 0)}

            # The supervisor is killed: the actors continue, and the next supervisor finds them.
            process.kill()
            process.wait(STOP_TIMEOUT)
            load.wait(3)
        folder = next(folders)
        with supervisor(settings, folder):
            until("progress of the new supervisor", lambda: pids(folder))
            assert pids(folder) == actors
            health = {part.name: part for part in inference_components(folder)}
            assert {"actor inference-0", "actor inference-1", "model forecaster"} <= set(health)
            assert health["model forecaster"].state == "ok"

            # The champion changes, is rejected, and is rolled back; the actors follow the registry.
            registry = Registry(settings)
            second = register_champion(settings, forecaster, tmp_path / "second")
            wait_for_version(second)
            hot = register_champion(settings, with_impossible_heat(forecaster), tmp_path / "hot")
            until("the rejection", lambda: hot in registry.quarantined(FORECASTER) or load.failure)
            load.wait(2)
            assert registry.roll_back(FORECASTER, "an operator", "test").to_version == second
            assert registry.roll_back(FORECASTER, "an operator", "test").to_version == first
            wait_for_version(first)

            # Actors are killed while a transaction is open.
            killed: set[int] = set()
            for _ in range(2):
                until("both actors", lambda: len(set(pids(folder)) - killed) == 2)
                until("an open transaction", transactions.open)
                since = time.monotonic()
                for pid in set(pids(folder)) - killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                load.wait(2)
                print_duration("two rounds after actors were killed", since)
            until("reported restarts", lambda: (folder.last_progress() or {}).get("restarts"))

            # The broker is restarted, after a shutdown and after a kill.
            for sig in (signal.SIGTERM, signal.SIGKILL):
                fresh_broker.stop(sig)
                since = time.monotonic()
                fresh_broker.start()
                load.wait(2)
                print_duration(f"two rounds after the broker's {sig.name}", since)

        # The number of actors changes, and with it their partitions.
        fewer, folder = settings.model_copy(update={"inference_actors": 1}), next(folders)
        with supervisor(fewer, folder) as process:
            until("one actor", lambda: len(pids(folder)) == 1)
            load.wait(3)

            # The head is killed with all its actors.
            end_group(head)
            assert process.wait(STOP_TIMEOUT) != 0
        assert not folder.outcome().ok
        assert "Ray" in folder.outcome().reason
        until("the end of the actors", lambda: not any(map(psutil.pid_exists, pids(folder))))
        since = time.monotonic()
        ray_head()
        folder = next(folders)
        with supervisor(fewer, folder) as process:
            load.wait(3)
            print_duration("three rounds after the head was started again", since)
            folder.request_stop("the test")
            assert process.wait(STOP_TIMEOUT) == 0
            until("the end of the actors", lambda: not any(map(psutil.pid_exists, pids(folder))))
            done = len(reader.read())
            with supervisor(fewer, next(folders)):
                load.wait(2)
    assert len(reader.read()) > done
    counts = Counter(reader.predicted())
    assert {key for key, count in counts.items() if count > 1} == set(), "no duplicates"
    assert set(load.sent) == set(counts), "none missing"
    assert {p.predictions.model_version for p in reader.read()} == {first, second}
    print(f"{len(load.sent)} records, each predicted once")
    for one in (reader, transactions):
        one.close()


def test_an_actor_that_is_still_starting_is_kept_by_the_next_supervisor(
    serving_settings: Settings, ray_head: Callable[[], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """Otherwise, on a machine on which the start takes longer than the supervisor waits, no actor would ever serve."""
    ray_head()
    first, second = JobFolder(tmp_path / "first"), JobFolder(tmp_path / "second")
    started = serving_settings.state_dir / "started"
    with supervisor(serving_settings, first, "tests.ray_jobs.slow_actor"):
        until("the start of the actor", started.exists)
    with supervisor(serving_settings, second, "tests.ray_jobs.slow_actor"):
        until("progress of the next supervisor", second.last_progress)
        (serving_settings.state_dir / "continue").touch()
        until("the actor", lambda: pids(second))
        assert pids(second) == [int(pid) for pid in started.read_text().split()]


def health(pid: int, phase: str) -> dict[str, Any]:
    """`InferenceActor.health` of an actor that has read nothing."""
    counts = ("records", "predictions", "rejected", "hours", "batches", "batch_ms", "lag", "rss_mb", "idle")
    versions = {"forecaster": "1", "detector": "1", "models": {}, "node": "node", "fingerprint": "same"}
    traffic = {"kafka_bytes_per_second": {"received": 0.0, "sent": 0.0}}
    return {**dict.fromkeys(counts, 0), **versions, **traffic, "pid": pid, "phase": phase}


@pytest.fixture
def checked(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Checks of one supervisor with the given health of each actor, after the limit of an actor that has served."""
    monkeypatch.setattr(module, "UNHEALTHY_SECONDS", 0.0)
    supervisor = ActorSupervisor(settings, Job(JobFolder(tmp_path)))
    monkeypatch.setattr(supervisor, "_probe", lambda: None)
    monkeypatch.setattr(supervisor, "_spread", lambda _: None)

    def get(response: dict[str, Any] | RayError, timeout: float) -> dict[str, Any]:
        if isinstance(response, RayError):
            raise response
        return response

    monkeypatch.setattr(ray, "get", get)

    def check(*responses: dict[str, Any] | RayError) -> None:
        for number, response in enumerate(responses):
            method = SimpleNamespace(remote=lambda response=response: response)
            supervisor.actors[f"inference-{number}"] = SimpleNamespace(health=method)
        supervisor._check()

    return check


def test_an_actor_may_start_for_longer_than_one_that_has_served_may_be_away(checked: Callable[..., None]) -> None:
    timeout = GetTimeoutError()
    for response in (timeout, health(1, "starting"), timeout, health(1, "recovering"), health(2, "starting")):
        checked(response)
    checked(health(2, "serving"))
    with pytest.raises(RayUnhealthy):
        checked(health(2, "recovering"))


def test_an_actor_whose_process_has_ended_may_start_as_long_as_the_first_time(checked: Callable[..., None]) -> None:
    for response in (health(1, "serving"), ActorUnavailableError("restarting", None), GetTimeoutError()):
        checked(response)


def test_an_actor_whose_process_does_not_respond_makes_the_job_fail(
    checked: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    monkeypatch.setattr(ray, "kill", ended.append)
    checked(health(1, "serving"))
    with pytest.raises(RayUnhealthy):
        checked(GetTimeoutError())
    assert len(ended) == 1


def test_an_actor_may_start_with_the_process_id_that_another_one_has_on_its_node(checked: Callable[..., None]) -> None:
    checked(health(7, "serving"), health(7, "starting"))


def test_an_actor_whose_start_does_not_end_makes_the_job_fail(
    checked: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.0)
    with pytest.raises(RayUnhealthy):
        checked(health(1, "starting"))


def test_without_a_ray_head_the_job_waits_then_fails_and_names_the_address_and_the_setting(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.5)
    folder = JobFolder(tmp_path)
    with pytest.raises(RayUnhealthy) as caught:
        ActorSupervisor(settings, Job(folder)).run()
    assert folder.last_progress()
    assert settings.ray_head in str(caught.value)
    assert "WEATHERGLASS_RAY_PORT" in str(caught.value)


def test_the_job_waits_for_a_ray_head_that_is_starting(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port of the head is closed at first, and then refuses clients."""
    monkeypatch.setattr(module, "HEAD_POLL_SECONDS", 0.0)
    probes = iter(["refused", "refused", None, None])
    connections = iter([RayUnhealthy("starting"), None])

    def connect() -> None:
        if error := next(connections):
            raise error

    monkeypatch.setattr(module, "connection_error", lambda _: next(probes))
    supervisor = ActorSupervisor(settings, Job(JobFolder(tmp_path)))
    monkeypatch.setattr(supervisor, "_connect", connect)
    supervisor._wait_for_head()
    assert list(probes) == list(connections) == []
