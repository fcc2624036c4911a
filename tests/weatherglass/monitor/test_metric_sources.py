"""Metrics of jobs, disks and processes, measured on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from spark_jobs.query_progress import batch_metrics
from spark_jobs.stream_records import LATE_METRIC
from tests.conftest import make_settings
from tests.weatherglass.alerts.test_health import LockHolder
from tests.weatherglass.monitor.conftest import Clock
from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import JOBS
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.jobs.folder import HOST_LOCK, JobFolder
from weatherglass.jobs.job import Job
from weatherglass.monitor.host_metrics import HostMetrics
from weatherglass.monitor.job_metrics import JobMetrics
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.topics import RAW

STREAM, SERVE = "stream_features", "serve_predictions"


def spark_batch() -> dict[str, Any]:
    """The progress fields that the features job reports for a batch."""
    offsets = {RAW: {"0": 20}}
    return batch_metrics(
        {
            "batchId": 1,
            "numInputRows": 20,
            "inputRowsPerSecond": 20.0,
            "eventTime": {},
            "durationMs": {"triggerExecution": 400, "addBatch": 300},
            "sources": [{"endOffset": offsets, "latestOffset": offsets}],
            "stateOperators": [{"numRowsTotal": 120, "memoryUsedBytes": 9000}],
            "sink": {"numOutputRows": 20},
            "observedMetrics": {LATE_METRIC: {LATE_METRIC: 1}},
        }
    )


class RunningJobs:
    """All jobs as running processes with their folders, and the evaluation of their metrics."""

    def __init__(self, settings: Settings, clock: Clock):
        self.settings, self.clock = settings, clock
        self.host = LockHolder(settings.jobs_dir / HOST_LOCK)
        self.holders: dict[str, LockHolder] = {}
        for name in JOBS:
            self.start(name)
        self.jobs = JobMetrics(settings)
        self.evaluator = RuleEvaluator(RULES)
        self.fired: set[tuple[str, str]] = set()
        self.resolved: set[tuple[str, str]] = set()

    def folder(self, name: str) -> JobFolder:
        return JobFolder(self.settings.jobs_dir / name)

    def start(self, name: str) -> None:
        holder = self.holders[name] = LockHolder(self.settings.jobs_dir / name / "lock")
        folder = self.folder(name)
        at = iso(self.clock.now - timedelta(hours=1))
        folder.write_json(folder.process, {"start_id": str(holder.process.pid), "pid": holder.process.pid, "at": at})
        Job(folder).report("progress")

    def report(self, name: str, **fields: object) -> None:
        Job(self.folder(name)).report("progress", **fields)

    def step(self, count: int = 6, batch: dict[str, object] | None = None, silent: str = "") -> MetricSample:
        for _ in range(count):
            now = self.clock.advance().timestamp()
            if batch:
                self.report(STREAM, **batch)
            for name in JOBS:
                if name != silent:
                    os.utime(self.folder(name).heartbeat, (now, now))
            sample = MetricSample(self.clock.now)
            self.jobs.collect(sample)
            evaluation = self.evaluator.evaluate(sample)
            self.fired |= {(f.rule.name, f.subject) for f in evaluation.started} - {("ray_unreachable", "pipeline")}
            self.resolved |= {(f.rule.name, f.subject) for f in evaluation.resolved}
        return sample

    def close(self) -> None:
        for holder in [self.host, *self.holders.values()]:
            holder.kill()


@pytest.fixture
def running(settings: Settings, clock: Clock) -> Iterator[RunningJobs]:
    running = RunningJobs(settings, clock)
    yield running
    running.close()


def test_a_killed_job_raises_an_alert_that_its_restart_resolves(running: RunningJobs) -> None:
    running.step()
    assert running.fired == set()
    running.holders[STREAM].kill()
    running.step()
    assert running.fired == {("job_not_running", STREAM)}
    running.start(STREAM)
    sample = running.step()
    assert running.resolved == running.fired
    assert sample.get(m.JOB_STARTS, STREAM) == 1
    for _ in range(3):
        running.holders[STREAM].kill()
        running.start(STREAM)
        running.step(1)
    assert ("job_restarting", STREAM) in running.fired


def test_a_job_without_heartbeat_and_a_killed_host_raise_alerts(running: RunningJobs) -> None:
    running.step(8, silent=SERVE)
    assert running.fired == {("job_silent", SERVE)}
    running.step()
    assert running.resolved == running.fired
    running.host.kill()
    running.step()
    assert ("job_host_down", "pipeline") in running.fired


def test_progress_of_the_features_job_becomes_metrics_and_alerts(running: RunningJobs) -> None:
    batch = spark_batch()
    sample = running.step(4, batch)
    assert (sample.get(m.BATCHES), sample.get(m.ROWS), sample.get(m.LATE_ROWS)) == (4, 80, 4)
    assert sample.get(m.BATCH_SECONDS, "addBatch") == 0.3
    assert sample.get(m.STATE_ROWS) == 120
    running.step(16, {**batch, "ms": 2000})
    assert running.fired == {("batches_too_slow", "pipeline")}
    running.step(10, batch)
    assert running.resolved == running.fired
    assert running.step(1).get(m.BATCH_OVER_TRIGGER) is None  # no batch since the last sample


def test_a_lost_actor_and_a_degraded_model_raise_alerts(running: RunningJobs) -> None:
    ok = {"state": "ok", "since": iso(running.clock.now), "reason": "in service"}
    failing = {"state": "failing", "since": iso(running.clock.now), "reason": "no response"}
    running.report(SERVE, actors={"inference-0": ok, "inference-1": ok}, models={"forecaster": ok})
    running.step()
    assert running.fired == set()
    running.report(
        SERVE, actors={"inference-0": ok, "inference-1": failing}, models={"forecaster": failing}, restarts=0
    )
    running.step()
    assert running.fired == {("actor_lost", "inference-1"), ("model_degraded", "forecaster")}
    running.report(SERVE, actors={"inference-0": ok, "inference-1": ok}, models={"forecaster": ok}, restarts=2)
    assert running.step(8).get(m.ACTOR_RESTARTS) == 2
    assert running.resolved == running.fired


def test_states_of_actors_and_models_become_numbers_and_an_unknown_state_counts_as_failing(
    running: RunningJobs,
) -> None:
    states = {name: {"state": name} for name in ("ok", "degraded", "failing", "starting")}
    running.report(
        SERVE, actors={**states, "none": {}}, models={**states, "none": {}, "challenger": {"state": "failing"}}
    )
    sample = running.step(1)
    up = {"ok": 1.0, "degraded": 1.0, "failing": 0.0, "starting": 0.0, "none": 0.0}
    assert sample.series(m.ACTOR_UP) == {(name,): value for name, value in up.items()}
    state = {"ok": 0.0, "degraded": 1.0, "failing": 2.0, "starting": 2.0, "none": 2.0}
    assert sample.series(m.MODEL_STATE) == {(name,): value for name, value in state.items()}


def test_batches_since_the_last_sample_are_averaged(running: RunningJobs) -> None:
    """Durations of 400 and 1000 ms, compared with a trigger of a second; rates of 20 and 50 per second."""
    phases = {"addBatch": 300, "triggerExecution": 1000}
    running.report(STREAM, batch=1, ms=400, rows=8, rows_per_second=20.0)
    running.report(STREAM, batch=2, ms=1000, rows=50, rows_per_second=50.0, ms_by_phase=phases, state_bytes=9000)
    running.report(SERVE, ms=70, records=3, predictions=2, rss_mb=100, model_version="7")
    running.report(SERVE, ms=90, records=4, predictions=4, rss_mb=110)
    sample = running.step(1)
    assert sample.get(m.BATCH_OVER_TRIGGER) == pytest.approx(0.7)
    assert sample.get(m.ROWS_PER_SECOND) == 50
    seconds = {("addBatch",): 0.15, ("triggerExecution",): 0.7}
    assert sample.series(m.BATCH_SECONDS) == pytest.approx(seconds)
    assert sample.get(m.STATE_BYTES) == 9000
    assert sample.get(m.INFERENCE_SECONDS) == pytest.approx(0.09)
    assert sample.get(m.ACTOR_BYTES) == pytest.approx(110e6)
    assert (sample.get(m.INFERENCE_RECORDS), sample.get(m.INFERENCE_PREDICTIONS)) == (7, 6)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk requires root: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_raises_an_alert(small_disk: Path, clock: Clock) -> None:
    host, evaluator = HostMetrics(make_settings(small_disk)), RuleEvaluator(RULES)

    def evaluate(count: int) -> tuple[set[str], set[str]]:
        started, resolved = set(), set()
        for _ in range(count):
            sample = MetricSample(clock.advance())
            host.collect(sample)
            evaluation = evaluator.evaluate(sample)
            started |= {firing.rule.name for firing in evaluation.started}
            resolved |= {firing.rule.name for firing in evaluation.resolved}
        return started, resolved

    assert evaluate(4) == (set(), set())
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            pass
    assert evaluate(4) == ({"disk_nearly_full"}, set())
    filler.unlink()
    assert evaluate(8) == (set(), {"disk_nearly_full"})


def test_usage_of_a_component_includes_its_child_processes(settings: Settings, clock: Clock) -> None:
    # /proc counts CPU time in ticks of 10 ms, so the child uses several of them before it reports.
    child = "import time\nwhile time.process_time() < 0.2: pass\nprint(1, flush=True); input()"
    parent = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=0); input(); p.wait()"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert leader.stdout
        leader.stdout.readline()
        folder = JobFolder(settings.jobs_dir / "some_job")
        folder.path.mkdir(parents=True)
        folder.write_json(folder.process, {"pid": leader.pid})
        host = HostMetrics(settings)
        sample = MetricSample(clock.advance(60))
        host.collect(sample)
        assert sample.get(m.PART_PROCESSES, "some_job") == 2
        assert (sample.get(m.PART_MEMORY, "some_job") or 0) > 1e6
        assert (sample.get(m.PART_CPU, "some_job") or 0) >= 0.1
    finally:
        leader.communicate(b"\n\n")
