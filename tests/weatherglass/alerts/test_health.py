from __future__ import annotations

import json
import os
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
from weatherglass.alerts.health import (
    JOBS,
    MONITOR,
    MQTT,
    SIMULATION,
    ComponentHealth,
    HealthReason,
    HealthState,
    inference_components,
    pipeline_health,
    required_jobs,
)
from weatherglass.jobs.folder import HOST_LOCK, JobFolder
from weatherglass.jobs.job import Job
from weatherglass.record_headers import Origin
from weatherglass.records import Method, iso
from weatherglass.settings import LOOPBACK, Settings, Source
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


class LockHolder:
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
    """The real time, because heartbeats are file times."""
    return datetime.now(UTC)


@pytest.fixture
def listening() -> Iterator[tuple[str, str]]:
    """Addresses of two sockets that accept connections, in place of the broker and the Ray head."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server((LOOPBACK, port))) for port in free_ports(2)]
        kafka, ray = (f"{LOOPBACK}:{server.getsockname()[1]}" for server in servers)
        yield kafka, ray


@pytest.fixture
def settings(tmp_path: Path, listening: tuple[str, str]) -> Settings:
    kafka, ray = listening
    return make_settings(tmp_path / "state", kafka_bootstrap=kafka, ray_address=ray)


@pytest.fixture
def jobs(settings: Settings) -> Iterator[dict[str, LockHolder]]:
    """Running jobs, each with a line of progress, and their host."""
    holders = {name: LockHolder(settings.jobs_dir / name / "lock") for name in JOBS}
    holders["host"] = LockHolder(settings.jobs_dir / HOST_LOCK)
    for name in JOBS:
        Job(JobFolder(settings.jobs_dir / name)).report(f"{name} progress")
    yield holders
    for holder in holders.values():
        holder.kill()


def fill(store: Engine, arrived: datetime, observed: datetime, method: Method = Method.MODEL) -> None:
    with store.begin() as connection:
        observations.save(connection, [an_observation(timestamp=observed)], arrived)
        predictions.save(connection, [a_prediction(timestamp=observed, method=method)], arrived)


def component(settings: Settings, now: datetime, store: Engine, name: str) -> ComponentHealth:
    return next(c for c in pipeline_health(settings, now, store).components if c.name == name)


def test_a_working_pipeline_is_ok(
    settings: Settings, now: datetime, store: Engine, jobs: dict[str, LockHolder]
) -> None:
    fill(store, now - timedelta(seconds=5), now - timedelta(minutes=1))
    health = pipeline_health(settings, now, store)
    assert {p.name: p.detail for p in health.components if p.state is not HealthState.OK} == {}
    assert health.state is HealthState.OK
    assert component(settings, now, store, "stream_features").detail == "stream_features progress"
    assert "version 7" in component(settings, now, store, "model").detail


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_job_fails_with_its_reason(
    settings: Settings, now: datetime, store: Engine, jobs: dict[str, LockHolder], name: str
) -> None:
    fill(store, now, now)
    folder = JobFolder(settings.jobs_dir / name)
    folder.write_json(folder.process, {"pid": jobs[name].process.pid, "at": iso(now - timedelta(hours=1))})
    jobs[name].kill()
    health = pipeline_health(settings, now, store)
    (failing,) = [p for p in health.components if p.state is not HealthState.OK]
    assert (health.state, failing.name, failing.state) == (HealthState.FAILING, name, HealthState.FAILING)
    assert failing.reason is HealthReason.NOT_RUNNING
    assert "exit.json" in failing.detail

    folder.write_json(folder.exit, {"ok": False, "reason": "OutOfMemoryError: heap"})
    assert "OutOfMemoryError: heap" in component(settings, now, store, name).detail


def test_a_job_without_heartbeat_fails_except_while_it_starts(
    settings: Settings, now: datetime, store: Engine, jobs: dict[str, LockHolder]
) -> None:
    folder = JobFolder(settings.jobs_dir / "stream_features")
    folder.write_json(folder.process, {"pid": 1, "at": iso(now)})
    soon, later = now + timedelta(seconds=90), now + timedelta(minutes=10)
    assert component(settings, soon, store, "stream_features").state is HealthState.OK
    silent = component(settings, later, store, "stream_features")
    assert silent.state is HealthState.FAILING
    assert silent.reason is HealthReason.NO_HEARTBEAT
    assert "stream_features progress" in silent.detail


@pytest.mark.parametrize("name", JOBS)
def test_a_restarted_job_is_degraded_until_it_reports_progress(
    settings: Settings, store: Engine, jobs: dict[str, LockHolder], name: str
) -> None:
    folder = JobFolder(settings.jobs_dir / name)
    ok = {"state": "ok", "since": "2026-01-05T11:00:00Z", "reason": "in service"}
    Job(folder).report("progress", actors={"inference-0": ok})
    now = datetime.now(UTC) + timedelta(seconds=1)  # certainly later than the report
    fill(store, now, now)
    folder.write_json(folder.process, {"pid": jobs[name].process.pid, "at": iso(now)})
    health = pipeline_health(settings, now, store)
    assert health.state is HealthState.DEGRADED
    assert component(settings, now, store, name).reason is HealthReason.STARTING
    assert "actor inference-0" not in {c.name for c in health.components} or name != "serve_predictions"


def test_a_stopped_host_and_unreachable_servers_fail(settings: Settings, now: datetime, store: Engine) -> None:
    dead, ray = free_ports(2)
    away = settings.model_copy(update={"kafka_bootstrap": f"{LOOPBACK}:{dead}", "ray_address": f"{LOOPBACK}:{ray}"})
    away = Settings(**away.model_dump())  # a copy keeps cached properties
    components = {p.name: p for p in pipeline_health(away, now, store).components}
    assert all(components[name].state is HealthState.FAILING for name in ("kafka", "ray", "job_host"))
    assert f"{LOOPBACK}:{dead}" in components["kafka"].detail
    assert components["serve_predictions"].reason is HealthReason.NEVER_STARTED


def test_one_reachable_broker_of_several_is_ok(settings: Settings, now: datetime, store: Engine) -> None:
    (dead,) = free_ports(1)
    several = f"{LOOPBACK}:{dead},{settings.bootstrap_servers}"
    assert (
        component(Settings(**{**settings.model_dump(), "kafka_bootstrap": several}), now, store, "kafka").state
        is HealthState.OK
    )


def test_an_empty_store_is_degraded(settings: Settings, now: datetime, store: Engine) -> None:
    for name in ("observations", "predictions", "model"):
        empty = component(settings, now, store, name)
        assert (empty.state, empty.reason) == (HealthState.DEGRADED, HealthReason.NO_DATA)


def test_a_store_without_tables_is_failing_as_unreadable(settings: Settings, now: datetime, tmp_path: Path) -> None:
    empty = open_store(f"sqlite:///{tmp_path / 'empty.db'}")
    failing = component(settings, now, empty, "store")
    assert failing.state is HealthState.FAILING
    assert failing.reason is HealthReason.UNREADABLE
    assert "empty.db" in failing.detail
    empty.dispose()


def test_a_replay_that_is_catching_up_is_healthy(settings: Settings, now: datetime, store: Engine) -> None:
    fill(store, arrived=now - timedelta(seconds=3), observed=now - timedelta(hours=20))
    observed = component(settings, now, store, "observations")
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
def test_the_state_of_observations_depends_on_their_age(
    settings: Settings, now: datetime, store: Engine, age: timedelta, state: HealthState
) -> None:
    fill(store, now - age, now - age)
    assert component(settings, now, store, "observations").state is state


def test_observations_are_late_two_polls_after_they_were_due_and_fail_after_an_hour(
    settings: Settings, now: datetime, store: Engine
) -> None:
    settings = Settings(**{**settings.model_dump(), "poll_minutes": 4})
    now = now.replace(microsecond=0)
    fill(store, now, now)
    millisecond = timedelta(milliseconds=1)
    for age, state in (
        (timedelta(minutes=23), HealthState.OK),
        (timedelta(minutes=23) + millisecond, HealthState.DEGRADED),
        (timedelta(minutes=60), HealthState.DEGRADED),
        (timedelta(minutes=60) + millisecond, HealthState.FAILING),
    ):
        observed = component(settings, now + age, store, "observations")
        assert (observed.state, observed.age_seconds) == (state, age.total_seconds())


def test_with_reports_of_airports_observations_are_due_every_hour(
    settings: Settings, now: datetime, store: Engine
) -> None:
    settings = Settings(**{**settings.model_dump(), "source": "metar"})
    fill(store, now, now)
    for age, state in (
        (timedelta(minutes=69), HealthState.OK),
        (timedelta(minutes=71), HealthState.DEGRADED),
        (timedelta(hours=5), HealthState.FAILING),
    ):
        assert component(settings, now + age, store, "observations").state is state


@pytest.mark.parametrize(
    ("sources", "state"),
    [
        ({"jfk": Origin.METAR, "boston": Origin.METAR, "jerusalem": Origin.OPEN_METEO}, HealthState.OK),
        ({"jfk": Origin.METAR, "boston": Origin.OPEN_METEO, "jerusalem": Origin.OPEN_METEO}, HealthState.DEGRADED),
        ({"jfk": Origin.METAR, "ewr": Origin.REPLAY, "lga": Origin.REPLAY}, HealthState.OK),
        ({"jfk": Origin.METAR, "garden": Origin.OWN, "roof": Origin.OWN}, HealthState.OK),
    ],
    ids=["most by airports", "most by a model", "an earlier replay", "own stations"],
)
def test_with_both_sources_observations_are_due_at_the_interval_of_most_stations(
    settings: Settings, now: datetime, store: Engine, sources: dict[str, Origin], state: HealthState
) -> None:
    settings = Settings(**{**settings.model_dump(), "source": "auto"})
    with store.begin() as connection:
        for name, source in sources.items():
            observations.save(connection, [an_observation(name, now)], now, source)
    observed = component(settings, now + timedelta(minutes=50), store, "observations")
    assert observed.state is state
    assert all(source.value in observed.detail for source in sources.values())


@pytest.mark.parametrize(
    ("since_start", "since_heartbeat", "reason"),
    [
        (119, 31, HealthReason.WORKING),
        (120, 31, HealthReason.NO_HEARTBEAT),
        (120, 30, HealthReason.WORKING),
    ],
)
def test_a_heartbeat_is_missing_after_30_s_except_in_the_first_two_minutes(
    settings: Settings,
    now: datetime,
    store: Engine,
    jobs: dict[str, LockHolder],
    since_start: int,
    since_heartbeat: int,
    reason: HealthReason,
) -> None:
    folder, now = JobFolder(settings.jobs_dir / "stream_features"), now.replace(microsecond=0)
    started = now - timedelta(seconds=since_start)
    folder.write_json(folder.process, {"pid": 1, "at": iso(started)})
    folder.progress.write_text(json.dumps({"at": iso(started), "message": "batch"}) + "\n")
    os.utime(folder.heartbeat, times=2 * (now.timestamp() - since_heartbeat,))
    found = component(settings, now, store, "stream_features")
    assert (found.reason, found.age_seconds) == (reason, since_heartbeat)


def test_predictions_are_overdue_for_the_stations_whose_newest_observation_has_none(
    settings: Settings, now: datetime, store: Engine
) -> None:
    """Five stations: `a` has a prediction, `b` one for an older observation, the others none."""
    now = now.replace(microsecond=0)
    with store.begin() as connection:
        observations.save(connection, [an_observation(name, now) for name in "abcde"], now)
        predictions.save(connection, [a_prediction("a", now), a_prediction("b", now - timedelta(hours=1))], now)
    assert component(settings, now + timedelta(seconds=60), store, "predictions").reason is HealthReason.WORKING
    late = component(settings, now + timedelta(seconds=60.001), store, "predictions")
    assert (late.state, late.reason, late.age_seconds) == (HealthState.DEGRADED, HealthReason.LATE, 60.001)
    assert late.detail.endswith("4 of 5 stations: b, c, d, …")


def test_the_model_is_degraded_if_more_than_half_of_the_stations_are_on_fallback(
    settings: Settings, now: datetime, store: Engine
) -> None:
    methods = {"a": Method.MODEL, "b": Method.MODEL, "c": Method.PERSISTENCE, "d": Method.PERSISTENCE}
    with store.begin() as connection:
        for seconds, (name, method) in enumerate(methods.items()):
            at = now - timedelta(seconds=seconds)
            predictions.save(connection, [a_prediction(name, now, version=f"{9 - seconds}", method=method)], at)
    half = component(settings, now, store, "model")
    assert (half.state, half.reason) == (HealthState.OK, HealthReason.WORKING)
    assert {"9", "2", "4"} <= set(half.detail.split()), "the newest version, and 2 of 4 stations"
    with store.begin() as connection:
        predictions.save(connection, [a_prediction("e", now, method=Method.PERSISTENCE)], now - timedelta(hours=1))
    assert component(settings, now, store, "model").reason is HealthReason.FALLBACK


def test_an_observation_without_a_prediction_is_degraded_after_the_deadline(
    settings: Settings, now: datetime, store: Engine
) -> None:
    fill(store, now - timedelta(minutes=15), now - timedelta(minutes=15))
    with store.begin() as connection:
        observations.save(connection, [an_observation(timestamp=now)], now)
    assert component(settings, now + timedelta(seconds=10), store, "predictions").state is HealthState.OK
    overdue = component(settings, now + timedelta(minutes=5), store, "predictions")
    assert overdue.state is HealthState.DEGRADED
    assert "new-york" in overdue.detail


def test_forecasts_by_a_fallback_method_are_degraded(settings: Settings, now: datetime, store: Engine) -> None:
    fill(store, now, now, Method.PERSISTENCE)
    model = component(settings, now, store, "model")
    assert model.state is HealthState.DEGRADED
    assert model.reason is HealthReason.FALLBACK


def test_actors_and_models_are_components_with_the_reported_state(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "serve_predictions")
    assert inference_components(folder) == ()
    failing = {"state": "failing", "since": "2026-01-05T12:00:00Z", "reason": "version 3 rejected: NaN"}
    ok = {"state": "ok", "since": "2026-01-05T11:00:00Z", "reason": "in service"}
    folder.path.mkdir(parents=True)
    models = dict.fromkeys(("forecaster", "challenger", "guidance"), failing)
    Job(folder).report("…", actors={"inference-0": ok}, models=models)
    components = {c.name: c for c in inference_components(folder)}
    assert components["actor inference-0"].state is HealthState.OK
    states = {name: components[f"model {name}"].state for name in models}
    assert states.pop("forecaster") is HealthState.FAILING
    assert set(states.values()) == {HealthState.DEGRADED}
    assert "since 2026-01-05T12:00:00Z" in components["model forecaster"].detail
    assert "version 3 rejected: NaN" in components["model forecaster"].detail


def test_a_stopped_monitor_is_degraded_and_absent_before_its_first_start(
    settings: Settings, now: datetime, store: Engine, jobs: dict[str, LockHolder]
) -> None:
    fill(store, now, now)
    folder = JobFolder(settings.jobs_dir / MONITOR)
    assert MONITOR not in [c.name for c in pipeline_health(settings, now, store).components]
    folder.path.mkdir()
    folder.write_json(folder.process, {"pid": 1, "at": iso(now - timedelta(hours=1))})
    health = pipeline_health(settings, now, store)
    assert (health.state, component(settings, now, store, MONITOR).state) == (
        HealthState.DEGRADED,
        HealthState.DEGRADED,
    )


def test_the_jobs_that_must_run_depend_on_the_settings(tmp_path: Path) -> None:
    assert required_jobs(make_settings(tmp_path)) == JOBS
    both = make_settings(tmp_path, source=Source.SIMULATE, mqtt_url="mqtts://broker:8884")
    assert required_jobs(both) == (SIMULATION, MQTT, *JOBS)


@pytest.mark.parametrize(
    ("connection", "state"),
    [("connected", HealthState.OK), ("unreachable", HealthState.DEGRADED), ("refused", HealthState.DEGRADED)],
)
def test_a_job_that_cannot_receive_is_degraded(
    tmp_path: Path, now: datetime, store: Engine, connection: str, state: HealthState
) -> None:
    settings = make_settings(tmp_path / "state", mqtt_url="mqtt://broker")
    folder = JobFolder(settings.jobs_dir / MQTT)
    holder = LockHolder(folder.path / "lock")
    Job(folder).report("progress of MQTT", connection=connection)
    found = component(settings, now, store, MQTT)
    holder.kill()
    assert (found.state, found.detail) == (state, "progress of MQTT")
    assert found.reason is (HealthReason.WORKING if state is HealthState.OK else HealthReason.UNREACHABLE)
