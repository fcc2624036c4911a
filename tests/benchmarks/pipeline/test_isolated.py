"""An isolated pipeline uses nothing of the serving one, and nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka.admin import KafkaAdminClient

from benchmarks.pipeline import host
from benchmarks.pipeline import isolated as isolated_module
from benchmarks.pipeline.isolated import (
    ENVIRONMENT_FILE,
    HOST,
    JOBS,
    IsolatedPipeline,
    PipelineFailed,
    isolated_environment,
    isolated_pipeline,
    isolated_settings,
    remove_leftovers,
    running_folder,
)
from benchmarks.pipeline.results import table
from benchmarks.pipeline.run import run_scenario
from benchmarks.pipeline.scenarios import Load, Scenario
from benchmarks.pipeline.usage import ACTORS
from tests.conftest import TestBroker, make_settings
from tests.ray_heads import ray_heads
from tests.waiting import until
from weatherglass.jobs.folder import HOST_LOCK, StartRequest, is_locked
from weatherglass.jobs.host import JobHost
from weatherglass.jobs.processes import find_processes
from weatherglass.launcher import ray_head
from weatherglass.launcher.credentials import Credentials
from weatherglass.settings import PROJECT_ROOT, Settings, Source, load_settings
from weatherglass.settings_errors import variable
from weatherglass.store import benchmark_results
from weatherglass.store.engine import open_store
from weatherglass.topics import GROUPS, TOPICS

LOAD = Load(stations=3, rate=3.0, workers=1)
KILLED_LIMIT = 300.0
"""How long a test waits for the removal of what a killed benchmark has started."""

START_AND_WAIT = """
import sys, time
from benchmarks.pipeline.isolated import isolated_pipeline
from benchmarks.pipeline.scenarios import Load
from weatherglass.settings import load_settings
with isolated_pipeline(load_settings(), Load(3, 3.0, 1), print) as pipeline:
    print("STARTED", pipeline.settings.topic_prefix, flush=True)
    time.sleep(600)
"""


def serving(tmp_path: Path) -> Settings:
    return Settings(
        state_dir=tmp_path,
        database_url="postgresql://serving/store",
        mqtt_url="mqtt://garden",
        stations_file=tmp_path / "own.csv",
        spark_memory_mb=900,
        kafka_bootstrap="broker:9092",
    )


def test_everything_that_the_serving_pipeline_writes_is_its_own(tmp_path: Path) -> None:
    installation = serving(tmp_path)
    isolated = isolated_settings(installation, "0001", LOAD)
    assert isolated.bootstrap_servers == installation.bootstrap_servers
    assert isolated.ray_head == installation.ray_head
    assert isolated.spark_memory_mb == installation.spark_memory_mb
    assert isolated.state_dir.is_relative_to(tmp_path / "benchmarks")
    assert isolated.store_url == f"sqlite:///{isolated.state_dir / 'weatherglass.db'}"
    assert isolated.jobs_dir != installation.jobs_dir
    assert not set(isolated.topics.groups) & set(installation.topics.groups)
    assert isolated.source is Source.SIMULATE
    assert (isolated.simulate_stations, isolated.simulate_rate, isolated.inference_actors) == (3, 3.0, 1)
    assert isolated.mqtt_url == ""
    assert isolated.stations_file is None


def test_the_jobs_load_exactly_the_isolated_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the environment contains settings of the serving pipeline."""
    isolated = isolated_settings(serving(tmp_path), "0001", LOAD)
    outer = {variable("database_url"): "postgresql://serving/store", variable("poll_minutes"): "3", "PATH": "/bin"}
    environment = isolated_environment(isolated, outer)
    assert environment["PATH"] == "/bin"
    for name in [name for name in os.environ if name.startswith("WEATHERGLASS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == isolated


def test_a_changed_port_of_the_installation_may_be_the_default_of_another(tmp_path: Path) -> None:
    installation = Settings(state_dir=tmp_path, ray_port=8090, replay_port=8095)
    isolated = isolated_settings(installation, "0001", LOAD)
    assert (isolated.ray_port, isolated.replay_port) == (8090, 8095)
    assert isolated.spark_ui_port != installation.spark_ui_port  # the UI of the serving pipeline may use that


def test_the_environment_of_an_isolated_pipeline_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It contains the URL of the registry, with a password."""
    modes = []

    def start_host(folder: Path, _: object) -> None:
        modes.append((folder / ENVIRONMENT_FILE).stat().st_mode & 0o777)
        raise PipelineFailed

    monkeypatch.setattr(isolated_module, "_start_host", start_host)
    with pytest.raises(PipelineFailed), isolated_pipeline(Settings(state_dir=tmp_path), LOAD, lambda _: None):
        pass
    assert modes == [0o600]


def test_a_killed_job_is_noticed(tmp_path: Path) -> None:
    """It writes no exit.json, as after SIGKILL by the kernel without memory."""
    pipeline = IsolatedPipeline(Settings(state_dir=tmp_path, topic_prefix="benchmark-0001-"))
    job_host = JobHost(pipeline.settings.jobs_dir)
    try:
        folder = pipeline.folders[JOBS[0]]
        folder.request_start(StartRequest([sys.executable, "-c", "import time; time.sleep(600)"]))
        job_host.poll()
        pid = folder.started()["pid"]
        try:
            pipeline.check()
        finally:
            os.kill(pid, signal.SIGKILL)
        until("the end of the job", lambda: not folder.alive())
        assert not folder.exit.exists()
        with pytest.raises(PipelineFailed, match=JOBS[0]):
            pipeline.check()
        os.waitpid(pid, 0)
    finally:
        job_host.close()


def test_the_serving_pipeline_is_not_removed(tmp_path: Path) -> None:
    with pytest.raises(host.NotIsolatedError):
        host.remove(Settings(state_dir=tmp_path))
    assert tmp_path.exists()


def test_a_folder_that_was_only_created_is_removed(tmp_path: Path) -> None:
    (running_folder(serving(tmp_path)) / "0001").mkdir(parents=True)
    remove_leftovers(serving(tmp_path), lambda _: None)
    assert not list(running_folder(serving(tmp_path)).iterdir())


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of an installation with a broker, its topics, and a Ray head."""
    folder = tmp_path_factory.mktemp("installation")
    settings = make_settings(folder / "state", spark_memory_mb=700)
    broker = TestBroker(settings)
    broker.start()
    broker.create_topics()
    try:
        with ray_heads(settings, folder / "ray.log") as start, pytest.MonkeyPatch.context() as patch:
            start()
            for name, value in ray_head.client_environment(Credentials(settings)).items():
                patch.setenv(name, value)
            yield settings
    finally:
        broker.stop()


def names_on_broker(settings: Settings) -> tuple[set[str], set[str]]:
    """Topics without Kafka's own, and groups."""
    admin = KafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        topics = {name for name in admin.list_topics() if not name.startswith("__")}
        return topics, {group["group_id"] for group in admin.list_groups()}
    finally:
        admin.close()


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_a_measured_load_is_saved_and_everything_else_is_removed(installation: Settings) -> None:
    lines: list[str] = []
    (result,) = run_scenario(installation, "run-1", Scenario.BASELINE, LOAD, 12.0, lines.append, warm_up=0.0)
    with open_store(installation.store_url).connect() as connection:
        assert benchmark_results.newest(connection, 10) == [result]
    figures = result.figures
    assert 0 < figures["latency_ms"]["p50"] <= figures["stored_ms"]["max"]
    assert figures["observations_per_second"] > 0
    assert figures["predictions_per_second"] > 0
    assert {*JOBS, ACTORS, "total"} <= figures["cores"].keys()
    assert figures["memory_mb"]["stream_features"] > 50
    assert set(figures["lag"]) == set(GROUPS)
    assert figures["topic_bytes_per_second"]["weather-raw"] > 0
    for job in JOBS:
        assert figures["kafka_bytes_per_second"][job]["sent"] > 0
        assert figures["kafka_bytes_per_second"][job]["received"] > 0
    assert (installation.state_dir / "benchmarks" / "results" / f"{result.run}.parquet").exists()
    assert not list(running_folder(installation).iterdir())
    topics, groups = names_on_broker(installation)
    assert topics == {topic.name for topic in TOPICS}
    assert not [group for group in groups if group.startswith("benchmark-")]
    assert lines[-2:] == table([result]).splitlines()
    repeated = run_scenario(installation, "run-1", Scenario.BASELINE, LOAD, 12.0, lines.append, warm_up=0.0)
    assert repeated == [result]  # read, not measured again


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("host_killed", [False, True], ids=["starter", "starter and host"])
def test_what_a_killed_benchmark_has_started_is_removed(installation: Settings, host_killed: bool) -> None:
    explicit = installation.model_dump(include=set(installation.model_fields_set), mode="json")
    own = {variable(name): str(value) for name, value in explicit.items()}
    starter = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT],
        env={**os.environ, **own, "PYTHONPATH": str(PROJECT_ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert starter.stdout
    prefix = next(line.split()[1] for line in starter.stdout if line.startswith("STARTED"))
    (folder,) = running_folder(installation).iterdir()
    started = [json.loads((folder / "jobs" / job / "process.json").read_text()) for job in JOBS]
    leaders = [(job["pid"], job["identity"]) for job in started]
    assert find_processes(None, leaders)
    assert [name for name in names_on_broker(installation)[0] if name.startswith(prefix)]
    if host_killed:
        hosts = [child for child in psutil.Process(starter.pid).children() if HOST in child.cmdline()]
        for each in hosts:
            each.kill()
        assert len(hosts) == 1
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    if host_killed:
        until("the end of the host", lambda: not is_locked(folder / "jobs" / HOST_LOCK))
        environment = json.loads((folder / ENVIRONMENT_FILE).read_text())
        then = {variable("kafka_bootstrap"): "127.0.0.1:1"}  # the broker may have another address by now
        (folder / ENVIRONMENT_FILE).write_text(json.dumps(environment | then))
        remove_leftovers(installation, lambda _: None)
    until("the removal", lambda: not folder.exists(), KILLED_LIMIT)
    # Python of the features job does not hold the lock of the job, and ends by itself after Java has.
    until("the end of all processes", lambda: not find_processes(None, leaders))
    topics, _ = names_on_broker(installation)
    assert topics == {topic.name for topic in TOPICS}
