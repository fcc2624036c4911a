"""Metrics of jobs, measured on real processes that hold the locks of their folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from spark_jobs.query_progress import batch_metrics
from spark_jobs.stream_records import LATE_METRIC
from tests.weatherglass.alerts.test_health import LockHolder
from tests.weatherglass.monitor.conftest import Clock
from weatherglass.alerts import metrics as m
from weatherglass.alerts.health import JOBS, STARTUP_GRACE
from weatherglass.alerts.rule_evaluator import RuleEvaluator
from weatherglass.alerts.rules import RULES
from weatherglass.alerts.sample import MetricSample
from weatherglass.jobs.folder import HOST_LOCK, JobFolder
from weatherglass.jobs.job import Job
from weatherglass.monitor.job_metrics import JobMetrics
from weatherglass.records import iso
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.topics import RAW

STREAM, SERVE, STORE = "stream_features", "serve_predictions", "store_predictions"


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
        },
        RAW,
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
    running.report(SERVE, ms=70, records=3, predictions=2, rejected=1, rss_mb=100, model_version="7")
    running.report(SERVE, ms=90, records=4, predictions=4, rejected=2, rss_mb=110)
    running.report(STORE, observations=5, predictions=6, skipped=4)
    sample = running.step(1)
    assert sample.get(m.BATCH_OVER_TRIGGER) == pytest.approx(0.7)
    assert sample.get(m.ROWS_PER_SECOND) == 50
    seconds = {("addBatch",): 0.15, ("triggerExecution",): 0.7}
    assert sample.series(m.BATCH_SECONDS) == pytest.approx(seconds)
    assert sample.get(m.STATE_BYTES) == 9000
    assert sample.get(m.INFERENCE_SECONDS) == pytest.approx(0.09)
    assert sample.get(m.ACTOR_BYTES) == pytest.approx(110e6)
    assert (sample.get(m.INFERENCE_RECORDS), sample.get(m.INFERENCE_PREDICTIONS)) == (7, 6)
    assert sample.series(m.STORED_RECORDS) == {("observations",): 5, ("predictions",): 6}
    assert sample.series(m.SKIPPED_RECORDS) == {(SERVE,): 3, (STORE,): 4}


def test_reports_that_are_not_batches_and_values_that_are_not_numbers_are_not_counted(running: RunningJobs) -> None:
    running.report(STREAM, batch=1, rows=100)
    running.report(STREAM, ms=100, rows=100)
    running.report(STREAM, batch=2, ms=500, rows=8, late="2", rows_per_second=None)
    running.report(STORE, observations=5, predictions=4, skipped=1)
    running.report(STORE, observations=1, predictions=None)
    sample = running.step(1)
    assert (sample.get(m.BATCHES), sample.get(m.ROWS), sample.get(m.LATE_ROWS)) == (1, 8, 0)
    assert (sample.get(m.ROWS_PER_SECOND), sample.get(m.BATCH_OVER_TRIGGER)) == (0, 0.5)
    stored = {("observations",): 6.0, ("predictions",): 4.0}
    for again in (sample, running.step(1)):
        assert again.series(m.STORED_RECORDS) == stored
        assert again.series(m.SKIPPED_RECORDS) == {(STORE,): 1.0, (SERVE,): 0.0}


@pytest.mark.parametrize(("trigger", "ratio"), [(0.0, 3.0), (4.0, 0.75)])
def test_a_batch_duration_is_compared_with_a_trigger_of_at_least_a_second(
    running: RunningJobs, trigger: float, ratio: float
) -> None:
    running.jobs = JobMetrics(running.settings.model_copy(update={"spark_trigger_seconds": trigger}))
    running.report(STREAM, batch=1, ms=3000)
    assert running.step(1).get(m.BATCH_OVER_TRIGGER) == pytest.approx(ratio)


def test_restarts_of_actors_are_counted_from_the_first_report_and_across_a_reset(running: RunningJobs) -> None:
    for restarts in (3, 5, 5, 1, 2):
        running.report(SERVE, restarts=restarts)
    assert running.step(1).get(m.ACTOR_RESTARTS) == (5 - 3) + (2 - 1)


def test_a_stopped_inference_job_has_no_actors_and_no_model(running: RunningJobs) -> None:
    running.report(SERVE, actors={"inference-0": {"state": "ok"}}, model_version="7", ms=40)
    assert running.step(1).series(m.MODEL_INFO) == {("7",): 1.0}
    running.holders[SERVE].kill()
    sample = running.step(1)
    assert (sample.series(m.ACTOR_UP), sample.series(m.MODEL_INFO)) == ({}, {})
    assert sample.get(m.JOB_UP, SERVE) == 0


def test_the_heartbeat_counts_after_the_startup_grace(running: RunningJobs) -> None:
    """A heartbeat 40 s ago and one in the future; then a start exactly the grace ago, and times without a time zone."""
    now = running.clock.now.replace(microsecond=0)

    def silences(started: dict[str, str]) -> dict[tuple[str, ...], float]:
        for name, at in started.items():
            folder = running.folder(name)
            folder.write_json(folder.process, {"start_id": "same", "at": at})
            beat = now.timestamp() + (-40 if name == STREAM else 5)
            os.utime(folder.heartbeat, (beat, beat))
        sample = MetricSample(now)
        running.jobs.collect(sample)
        assert sample.series(m.JOB_UP) == {(name,): 1.0 for name in JOBS}
        return sample.series(m.JOB_SILENCE)

    started = {name: iso(now - STARTUP_GRACE - timedelta(seconds=1)) for name in (STREAM, SERVE)} | {STORE: "noon"}
    assert silences(started) == {(STREAM,): pytest.approx(40, abs=0.01), (SERVE,): 0.0}
    naive = now.replace(tzinfo=None).isoformat()
    assert silences({STREAM: iso(now - STARTUP_GRACE), SERVE: naive, STORE: naive}) == {}


def test_jobs_that_never_started_have_no_state(settings: Settings, clock: Clock) -> None:
    sample = MetricSample(clock.now)
    JobMetrics(settings.model_copy(update={"ray_address": f"{LOOPBACK}:1"})).collect(sample)
    assert sample.series(m.JOB_UP) == sample.series(m.JOB_STARTS) == {}
    assert (sample.get(m.JOB_HOST_UP), sample.get(m.RAY_UP), sample.get(m.BATCHES)) == (0, 0, 0)
