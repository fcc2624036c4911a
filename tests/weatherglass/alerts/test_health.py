from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.conftest import free_ports, make_settings
from tests.weatherglass.store.samples import a_prediction, an_observation
from weatherglass.alerts.health import JOBS, WATCHER, ComponentHealth, HealthState, inference, pipeline_health
from weatherglass.jobs.folder import HOST_LOCK, JobFolder
from weatherglass.jobs.job import Job
from weatherglass.records import Method, iso
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.store import observations, predictions
from weatherglass.store.engine import open_store

HOLD = """
import fcntl, sys
files = [open(path, "w") for path in sys.argv[1:]]
for file in files:
    fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


class Holder:
    """A process that holds locks until it is killed."""

    def __init__(self, *locks: Path):
        for lock in locks:
            lock.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", HOLD, *map(str, locks)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        assert self.process.stdout.readline() == b"held\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def now() -> datetime:
    """The real time: heartbeats are times of files."""
    return datetime.now(UTC)


@pytest.fixture
def listening() -> Iterator[tuple[str, str]]:
    """Two servers that take connections, as the broker and the Ray head do."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server((LOOPBACK, port))) for port in free_ports(2)]
        kafka, ray = (f"{LOOPBACK}:{server.getsockname()[1]}" for server in servers)
        yield kafka, ray


@pytest.fixture
def settings(tmp_path: Path, listening: tuple[str, str]) -> Settings:
    kafka, ray = listening
    return make_settings(tmp_path / "state", kafka_bootstrap=kafka, ray_address=ray)


@pytest.fixture
def jobs(settings: Settings) -> Iterator[dict[str, Holder]]:
    """Living jobs, each with a line of progress, and their host."""
    holders = {name: Holder(settings.jobs_dir / name / "lock") for name in JOBS}
    holders["host"] = Holder(settings.jobs_dir / HOST_LOCK)
    for name in JOBS:
        Job(JobFolder(settings.jobs_dir / name)).report(f"{name} works")
    yield holders
    for holder in holders.values():
        holder.kill()


def fill(store: Engine, arrived: datetime, observed: datetime, method: Method = Method.MODEL) -> None:
    with store.begin() as connection:
        observations.save(connection, [an_observation(timestamp=observed)], arrived)
        predictions.save(connection, [a_prediction(timestamp=observed, method=method)], arrived)


def part(settings: Settings, now: datetime, store: Engine, name: str) -> ComponentHealth:
    return next(part for part in pipeline_health(settings, now, store).parts if part.name == name)


def test_a_working_pipeline_is_ok(settings: Settings, now: datetime, store: Engine, jobs: dict[str, Holder]) -> None:
    fill(store, now - timedelta(seconds=5), now - timedelta(minutes=1))
    health = pipeline_health(settings, now, store)
    assert {p.name: p.detail for p in health.parts if p.state is not HealthState.OK} == {}
    assert health.state is HealthState.OK
    assert part(settings, now, store, "stream_features").detail == "stream_features works"
    assert "version 7" in part(settings, now, store, "model").detail


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_job_fails_with_its_reason(
    settings: Settings, now: datetime, store: Engine, jobs: dict[str, Holder], name: str
) -> None:
    fill(store, now, now)
    folder = JobFolder(settings.jobs_dir / name)
    folder.write_json(folder.process, {"pid": jobs[name].process.pid, "at": iso(now - timedelta(hours=1))})
    jobs[name].kill()
    health = pipeline_health(settings, now, store)
    (failing,) = [p for p in health.parts if p.state is not HealthState.OK]
    assert (health.state, failing.name, failing.state) == (HealthState.FAILING, name, HealthState.FAILING)
    assert "died without a word" in failing.detail

    folder.write_json(folder.exit, {"ok": False, "why": "OutOfMemoryError: heap"})
    assert "OutOfMemoryError: heap" in part(settings, now, store, name).detail


def test_a_silent_job_fails_but_not_while_it_starts(
    settings: Settings, now: datetime, store: Engine, jobs: dict[str, Holder]
) -> None:
    folder = JobFolder(settings.jobs_dir / "stream_features")
    folder.write_json(folder.process, {"pid": 1, "at": iso(now)})
    soon, later = now + timedelta(seconds=90), now + timedelta(minutes=10)
    assert part(settings, soon, store, "stream_features").state is HealthState.OK
    silent = part(settings, later, store, "stream_features")
    assert silent.state is HealthState.FAILING
    assert "silent" in silent.detail
    assert "stream_features works" in silent.detail


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_starts_again_is_not_ok_by_what_it_said_before(
    settings: Settings, store: Engine, jobs: dict[str, Holder], name: str
) -> None:
    folder = JobFolder(settings.jobs_dir / name)
    well = {"state": "ok", "since": "2026-01-05T11:00:00Z", "why": "it serves"}
    Job(folder).report("as before", actors={"inference-0": well})
    now = datetime.now(UTC) + timedelta(seconds=1)  # taken after the report, so surely later
    fill(store, now, now)
    folder.write_json(folder.process, {"pid": jobs[name].process.pid, "at": iso(now)})
    health = pipeline_health(settings, now, store)
    assert health.state is HealthState.DEGRADED
    assert "starts" in part(settings, now, store, name).detail
    assert "actor inference-0" not in {part.name for part in health.parts} or name != "serve_predictions"


def test_a_dead_host_and_unreachable_servers_are_named(settings: Settings, now: datetime, store: Engine) -> None:
    dead, ray = free_ports(2)
    away = settings.model_copy(update={"kafka_bootstrap": f"{LOOPBACK}:{dead}", "ray_address": f"{LOOPBACK}:{ray}"})
    away = Settings(**away.model_dump())  # a copy keeps what was computed before
    parts = {p.name: p for p in pipeline_health(away, now, store).parts}
    assert all(parts[name].state is HealthState.FAILING for name in ("kafka", "ray", "job_host"))
    assert f"{LOOPBACK}:{dead}" in parts["kafka"].detail
    assert "never started" in parts["serve_predictions"].detail


def test_any_broker_of_several_is_enough(settings: Settings, now: datetime, store: Engine) -> None:
    (dead,) = free_ports(1)
    several = f"{LOOPBACK}:{dead},{settings.bootstrap_servers}"
    assert (
        part(Settings(**{**settings.model_dump(), "kafka_bootstrap": several}), now, store, "kafka").state
        is HealthState.OK
    )


def test_an_empty_store_is_degraded_not_failing(settings: Settings, now: datetime, store: Engine) -> None:
    for name in ("observations", "predictions", "model"):
        assert part(settings, now, store, name).state is HealthState.DEGRADED


def test_a_store_without_tables_fails_and_says_why(settings: Settings, now: datetime, tmp_path: Path) -> None:
    empty = open_store(f"sqlite:///{tmp_path / 'empty.db'}")
    failing = part(settings, now, empty, "store")
    assert failing.state is HealthState.FAILING
    assert "no such table" in failing.detail
    empty.dispose()


def test_a_replay_that_catches_up_is_healthy_though_its_observations_are_old(
    settings: Settings, now: datetime, store: Engine
) -> None:
    fill(store, arrived=now - timedelta(seconds=3), observed=now - timedelta(hours=20))
    observed = part(settings, now, store, "observations")
    assert (observed.state, observed.age_seconds) == (HealthState.OK, 3.0)
    assert iso(now - timedelta(hours=20)) in observed.detail


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (timedelta(minutes=14), HealthState.OK),
        (timedelta(minutes=40), HealthState.DEGRADED),
        (timedelta(hours=2), HealthState.FAILING),
    ],
)
def test_observations_that_stay_away(
    settings: Settings, now: datetime, store: Engine, age: timedelta, state: HealthState
) -> None:
    fill(store, now - age, now - age)
    assert part(settings, now, store, "observations").state is state


def test_an_unanswered_observation_is_noticed(settings: Settings, now: datetime, store: Engine) -> None:
    fill(store, now - timedelta(minutes=15), now - timedelta(minutes=15))
    with store.begin() as connection:
        observations.save(connection, [an_observation(timestamp=now)], now)
    assert part(settings, now + timedelta(seconds=10), store, "predictions").state is HealthState.OK
    waiting = part(settings, now + timedelta(minutes=5), store, "predictions")
    assert waiting.state is HealthState.DEGRADED
    assert "new-york" in waiting.detail


def test_a_fallback_instead_of_the_model_is_noticed(settings: Settings, now: datetime, store: Engine) -> None:
    fill(store, now, now, Method.PERSISTENCE)
    model = part(settings, now, store, "model")
    assert model.state is HealthState.DEGRADED
    assert "fallback" in model.detail


def test_actors_and_models_are_parts_with_since_when_and_why(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "serve_predictions")
    assert inference(folder) == ()
    bad = {"state": "failing", "since": "2026-01-05T12:00:00Z", "why": "version 3 is refused: NaN"}
    well = {"state": "ok", "since": "2026-01-05T11:00:00Z", "why": "it serves"}
    folder.path.mkdir(parents=True)
    Job(folder).report("…", actors={"inference-0": well}, models={"forecaster": bad, "challenger": bad})
    parts = {part.name: part for part in inference(folder)}
    assert {name: part.state for name, part in parts.items()} == {
        "actor inference-0": HealthState.OK,
        "model forecaster": HealthState.FAILING,
        "model challenger": HealthState.DEGRADED,
    }
    assert "since 2026-01-05T12:00:00Z" in parts["model forecaster"].detail
    assert "version 3 is refused: NaN" in parts["model forecaster"].detail


def test_a_dead_watcher_is_a_degraded_part_and_no_more(
    settings: Settings, now: datetime, store: Engine, jobs: dict[str, Holder]
) -> None:
    fill(store, now, now)
    folder = JobFolder(settings.jobs_dir / WATCHER)
    assert WATCHER not in [part.name for part in pipeline_health(settings, now, store).parts]
    folder.path.mkdir()
    folder.write_json(folder.process, {"pid": 1, "at": iso(now - timedelta(hours=1))})
    health = pipeline_health(settings, now, store)
    assert (health.state, part(settings, now, store, WATCHER).state) == (HealthState.DEGRADED, HealthState.DEGRADED)
