"""The main loop of the features job: reports, committed offsets, heartbeats, and a query that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from spark_jobs import stream_features as module
from spark_jobs.stream_features import FeaturesError, FeaturesJob
from tests.waiting import until
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.settings import Settings
from weatherglass.topics import RAW

pytestmark = pytest.mark.integration


@pytest.fixture
def job(spark: SparkSession, settings: Settings) -> Iterator[FeaturesJob]:
    folder = settings.jobs_dir / "stream_features"
    folder.mkdir(parents=True)
    job = FeaturesJob(spark, settings, Job(JobFolder(folder)))
    yield job
    job._group.close()


def _progress(number: int, rows: int, end: int) -> dict[str, Any]:
    """The fields of a progress event that the job reads, for a batch with one late and two invalid messages."""
    return {
        "batchId": number,
        "numInputRows": rows,
        "eventTime": {},
        "durationMs": {"triggerExecution": 400},
        "sources": [{"endOffset": {RAW: {"0": end}}, "latestOffset": {RAW: {"0": end + 1}}}],
        "stateOperators": [{"numRowsTotal": 1, "memoryUsedBytes": 1}],
        "sink": {"numOutputRows": 5 + 3},
        "observedMetrics": {"late": {"late": 1}, "rejected": {"past": 2, "future": 0}},
    }


def test_each_batch_is_reported_and_the_offsets_of_the_last_are_committed(job: FeaturesJob) -> None:
    committed: list[Any] = []
    job._group = SimpleNamespace(commit=committed.append, close=lambda: None)  # type: ignore[assignment]
    job._handle_events([_progress(7, 10, 20), None, _progress(8, 12, 32), _progress(8, 0, 32)])
    assert committed == [{RAW: {"0": 32}}]
    lines = [json.loads(line) for line in job._job.folder.progress.read_text(encoding="utf-8").splitlines()]
    assert [(line["batch"], line["rows"], line["windows_sent"]) for line in lines] == [(7, 10, 5), (8, 12, 5)]
    assert all((line["late"], line["rejected"], line["lag"]) == (1, {"past": 2}, {"0": 1}) for line in lines)


def test_heartbeats_are_recorded_while_tasks_advance(job: FeaturesJob, spark: SparkSession) -> None:
    """A long batch sends no event until its end."""
    job._events = SimpleNamespace(next=lambda seconds: [])  # type: ignore[assignment]
    query: Any = SimpleNamespace(isActive=True)
    job._poll(query)
    assert not job._job.folder.heartbeat.exists(), "no task is running"
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            spark.range(100_000).repartition(2).count()

    thread = Thread(target=work)
    thread.start()
    try:
        until("heartbeat", lambda: job._poll(query) or job._job.folder.heartbeat.exists())
    finally:
        stop.set()
        thread.join()


def test_a_query_that_ended_ends_the_job(job: FeaturesJob) -> None:
    ended = SimpleNamespace(name="features", isActive=False, exception=lambda: None)
    with pytest.raises(FeaturesError, match="features"):
        job._poll(ended)  # type: ignore[arg-type]


class Topics:
    """The group of a broker that lacks topics until it was asked `misses` times."""

    def __init__(self, misses: int):
        self.misses = misses

    def close(self) -> None: ...

    def missing_topics(self, topics: list[str]) -> list[str]:
        self.misses -= 1
        return topics[:2] if self.misses >= 0 else []


def test_the_start_waits_for_topics(job: FeaturesJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOPIC_POLL_SECONDS", 0.0)
    job._group = Topics(3)  # type: ignore[assignment]
    job._wait_for_topics()
    assert job._job.folder.last_progress()


def test_topics_that_stay_missing_end_the_job_with_their_names(
    job: FeaturesJob, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOPIC_SECONDS", 0.0)
    job._group = Topics(9)  # type: ignore[assignment]
    with pytest.raises(FeaturesError, match=settings.topics.features):
        job._wait_for_topics()
