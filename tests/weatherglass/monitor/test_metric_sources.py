"""What the watcher measures of jobs, disks and processes, on real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from spark_jobs.query_progress import figures
from spark_jobs.window_features import AHEAD, LATE
from tests.conftest import make_settings
from tests.weatherglass.alerts.test_health import Holder
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


def batch_of_spark(newest: datetime, watermark: datetime) -> dict[str, Any]:
    """What the features job reports of a batch: its own words on what Spark tells."""
    offsets = {RAW: {"0": 20}}
    return figures(
        {
            "batchId": 1,
            "numInputRows": 20,
            "inputRowsPerSecond": 20.0,
            "eventTime": {"max": (newest + AHEAD).isoformat(), "watermark": iso(watermark)},
            "durationMs": {"triggerExecution": 400, "addBatch": 300},
            "sources": [{"endOffset": offsets, "latestOffset": offsets}],
            "stateOperators": [{"numRowsTotal": 120, "memoryUsedBytes": 9000}],
            "sink": {"numOutputRows": 20},
            "observedMetrics": {LATE: {LATE: 1}},
        }
    )


class Running:
    """The jobs as living processes, with their folders, and the watcher's eye on them."""

    def __init__(self, settings: Settings, clock: Clock):
        self.settings, self.clock = settings, clock
        self.host = Holder(settings.jobs_dir / HOST_LOCK)
        self.holders: dict[str, Holder] = {}
        for name in JOBS:
            self.start(name)
        self.jobs = JobMetrics(settings)
        self.watch = RuleEvaluator(RULES)
        self.fired: set[tuple[str, str]] = set()
        self.over: set[tuple[str, str]] = set()

    def folder(self, name: str) -> JobFolder:
        return JobFolder(self.settings.jobs_dir / name)

    def start(self, name: str) -> None:
        holder = self.holders[name] = Holder(self.settings.jobs_dir / name / "lock")
        folder = self.folder(name)
        at = iso(self.clock.now - timedelta(hours=1))
        folder.write_json(folder.process, {"start_id": str(holder.process.pid), "pid": holder.process.pid, "at": at})
        Job(folder).report("works")

    def report(self, name: str, **figures: object) -> None:
        Job(self.folder(name)).report("works", **figures)

    def go(self, looks: int = 6, batch: dict[str, object] | None = None, silent: str = "") -> MetricSample:
        for _ in range(looks):
            now = self.clock.go().timestamp()
            if batch:
                self.report(STREAM, **batch)
            for name in JOBS:
                if name != silent:
                    os.utime(self.folder(name).heartbeat, (now, now))
            sample = MetricSample(self.clock.now)
            self.jobs.look(sample)
            look = self.watch.look(sample)
            self.fired |= {(f.rule.name, f.subject) for f in look.begun} - {("ray_unreachable", "pipeline")}
            self.over |= {(f.rule.name, f.subject) for f in look.over}
        return sample

    def close(self) -> None:
        for holder in [self.host, *self.holders.values()]:
            holder.kill()


@pytest.fixture
def running(settings: Settings, clock: Clock) -> Iterator[Running]:
    running = Running(settings, clock)
    yield running
    running.close()


def test_a_killed_job_and_its_next_start(running: Running) -> None:
    running.go()
    assert running.fired == set()
    running.holders[STREAM].kill()
    running.go()
    assert running.fired == {("job_not_running", STREAM)}
    running.start(STREAM)
    sample = running.go()
    assert running.over == running.fired
    assert sample.get(m.JOB_STARTS, STREAM) == 1
    for _ in range(3):
        running.holders[STREAM].kill()
        running.start(STREAM)
        running.go(1)
    assert ("job_restarting", STREAM) in running.fired


def test_a_silent_job_and_a_killed_host(running: Running) -> None:
    running.go(8, silent=SERVE)
    assert running.fired == {("job_silent", SERVE)}
    running.go()
    assert running.over == running.fired
    running.host.kill()
    running.go()
    assert ("job_host_down", "pipeline") in running.fired


def test_what_the_stream_reports(running: Running) -> None:
    now = running.clock.now
    batch = batch_of_spark(now, now - timedelta(minutes=10))
    sample = running.go(4, batch)
    assert (sample.get(m.BATCHES), sample.get(m.ROWS), sample.get(m.LATE_ROWS)) == (4, 80, 4)
    assert sample.get(m.BATCH_SECONDS, "addBatch") == 0.3
    assert sample.get(m.WATERMARK_LAG) == 600
    assert sample.get(m.STATE_ROWS) == 120
    running.go(16, {**batch, "ms": 2000})
    assert running.fired == {("batches_too_slow", "pipeline")}
    stuck = {**batch, "newest": iso(now + timedelta(hours=3))}
    running.go(8, stuck)
    assert running.fired == {("batches_too_slow", "pipeline"), ("watermark_stuck", "pipeline")}
    running.go(10, {**stuck, "watermark": iso(now + timedelta(hours=2, minutes=50))})
    assert running.over == running.fired
    assert running.go(1).get(m.BATCH_OVER_TRIGGER) is None  # an old batch is no present one


def test_an_actor_and_a_model(running: Running) -> None:
    fine = {"state": "ok", "since": iso(running.clock.now), "why": "it serves"}
    lost = {"state": "failing", "since": iso(running.clock.now), "why": "it does not answer"}
    running.report(SERVE, actors={"inference-0": fine, "inference-1": fine}, models={"forecaster": fine})
    running.go()
    assert running.fired == set()
    running.report(SERVE, actors={"inference-0": fine, "inference-1": lost}, models={"forecaster": lost}, restarts=0)
    running.go()
    assert running.fired == {("actor_lost", "inference-1"), ("model_degraded", "forecaster")}
    running.report(SERVE, actors={"inference-0": fine, "inference-1": fine}, models={"forecaster": fine}, restarts=2)
    assert running.go(8).get(m.ACTOR_RESTARTS) == 2
    assert running.over == running.fired


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk can be mounted by root only: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_fills_up(small_disk: Path, clock: Clock) -> None:
    machine, watch = HostMetrics(make_settings(small_disk)), RuleEvaluator(RULES)

    def fired(looks: int) -> tuple[set[str], set[str]]:
        begun, over = set(), set()
        for _ in range(looks):
            sample = MetricSample(clock.go())
            machine.look(sample)
            look = watch.look(sample)
            begun |= {firing.rule.name for firing in look.begun}
            over |= {firing.rule.name for firing in look.over}
        return begun, over

    assert fired(4) == (set(), set())
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            pass
    assert fired(4) == ({"disk_nearly_full"}, set())
    filler.unlink()
    assert fired(8) == (set(), {"disk_nearly_full"})


def test_a_part_is_its_process_with_its_children(settings: Settings, clock: Clock) -> None:
    child = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0); input(); p.wait()"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", f"print(1, flush=True); {child}"],
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
        machine = HostMetrics(settings)
        for _ in range(200):
            sample = MetricSample(clock.go(60))
            machine.look(sample)
            if sample.get(m.PART_PROCESSES, "some_job") == 2:
                break
        assert sample.get(m.PART_PROCESSES, "some_job") == 2
        assert (sample.get(m.PART_MEMORY, "some_job") or 0) > 1e6
        assert (sample.get(m.PART_CPU, "some_job") or 0) > 0
    finally:
        leader.communicate(b"\n\n")
