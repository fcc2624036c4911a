"""Which messages are read for late observations, and which are published."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from kafka import KafkaProducer
from pyspark.sql import SparkSession

from spark_jobs.batches import Batch, batch_from_progress
from spark_jobs.checkpoint_migration import EARLIEST
from spark_jobs.late_rows import LateRowPublisher, OffsetRange
from spark_jobs.query_progress import QueryProgress
from spark_jobs.stream_features import REJECTED_QUERY, FeaturesError, FeaturesJob
from tests.conftest import TestBroker
from tests.spark_jobs.driver import read_all
from tests.spark_jobs.messages import observe
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import Job
from weatherglass.settings import Settings
from weatherglass.topics import RAW, REJECTED


class Checkpoint:
    """The logs of a features query, as Spark writes them."""

    def __init__(self, folder: Path):
        self._logs = folder / "checkpoint" / "features"
        for log in ("offsets", "commits"):
            (self._logs / log).mkdir(parents=True)

    def finish(self, number: int, watermark: datetime, **ends: int) -> None:
        """Write a finished batch with its end offset on each partition: `p0` and so on."""
        metadata = json.dumps({"batchWatermarkMs": round(watermark.timestamp() * 1000)})
        offsets = json.dumps({RAW: {name.removeprefix("p"): end for name, end in ends.items()}})
        (self._logs / "offsets" / str(number)).write_text(f"v1\n{metadata}\n{offsets}", encoding="utf-8")
        (self._logs / "commits" / str(number)).write_text('v1\n{"nextBatchWatermarkMs":0}', encoding="utf-8")


def no_report(message: str) -> NoReturn:
    raise AssertionError(f"unexpected report: {message}")


@pytest.fixture
def folder(settings: Settings) -> Path:
    folder = settings.jobs_dir / "stream_features"
    folder.mkdir(parents=True)
    return folder


def batch(number: int) -> Batch:
    return Batch(number, 1, {RAW: {"0": number - 1}}, {RAW: {"0": number}})


def test_examined_batches_are_not_read_again(settings: Settings, folder: Path, start: datetime) -> None:
    """Progress events of batches that were examined before; without a Spark session any read would fail."""
    checkpoint = Checkpoint(folder)
    for number in range(195, 201):
        checkpoint.finish(number, start, p0=number)
    late = LateRowPublisher(None, settings, folder)  # type: ignore[arg-type]
    late.mark_done(batch(200))
    late.mark_done(batch(197))
    assert late.catch_up(no_report) == 0
    assert late.publish([batch(198)]).total() == 0
    late.mark_done(batch(201))
    assert late.publish([batch(201)]).total() == 0


def test_after_a_replaced_checkpoint_the_next_batch_is_examined(
    settings: Settings, folder: Path, start: datetime
) -> None:
    """A checkpoint that was moved away, and one that was restored from an older copy."""
    late = LateRowPublisher(None, settings, folder)  # type: ignore[arg-type]
    late.mark_done(batch(500))
    late.reset()
    checkpoint = Checkpoint(folder)
    checkpoint.finish(0, datetime.fromtimestamp(0, start.tzinfo), p0=7)  # without a watermark nothing is late
    assert late.catch_up(no_report) == 0
    late.mark_done(batch(500))
    checkpoint.finish(1, start, p0=8)
    assert late.catch_up(no_report) == 0
    with pytest.raises(AttributeError):  # reads with the missing Spark session
        late.publish([batch(2)])


@pytest.fixture
def spread(fresh_broker: TestBroker, start: datetime) -> TestBroker:
    """Messages of the batches 100 to 103 on two partitions: observations and one invalid message."""
    producer = KafkaProducer(bootstrap_servers=fresh_broker.bootstrap_servers, acks="all")
    for partition, minutes in ((0, [-30, -20, 1, -4, 8, None]), (1, [-2])):
        for number, minute in enumerate(minutes):
            one = observe("paris", start + timedelta(minutes=minute or 0), number)
            value = b"invalid" if minute is None else json.dumps(one).encode()
            producer.send(RAW, value, b"paris", partition=partition).get(30)
    producer.close()
    return fresh_broker


@pytest.mark.integration
def test_batches_missing_from_the_checkpoint_are_reported_and_the_others_published(
    spread: TestBroker, spark: SparkSession, start: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches with different watermarks are examined with one read."""
    monkeypatch.setattr("spark_jobs.late_rows.RECORDS_PER_TASK", 2)
    folder = spread.settings.jobs_dir / "stream_features"
    checkpoint = Checkpoint(folder)
    checkpoint.finish(101, start, p0=3)
    checkpoint.finish(102, start + timedelta(minutes=10), p0=5)
    checkpoint.finish(103, start + timedelta(minutes=20), p0=6, p1=1)
    late = LateRowPublisher(spark, spread.settings, folder)
    messages = late._messages([OffsetRange(103, 1, topic_partition=0, first=EARLIEST, end=6)])
    assert messages._jdf.rdd().getNumPartitions() == 3, "several short tasks, so that there are heartbeats"
    late.mark_done(Batch(90, 1, {}, {RAW: {"0": 0}}))

    reports: list[str] = []
    assert late.catch_up(reports.append) == 2
    assert _late_on_topic(spread) == [(0, 3), (1, 0)]
    assert len(reports) == 1
    assert re.findall(r"\d+", reports[0]) == ["91", "101", "0", "0", "0", "3"], "batches and offsets"
    assert late.catch_up(no_report) == 0

    late.reset()
    late.mark_done(Batch(100, 1, {}, {RAW: {"0": 1}}))  # records where the oldest batch starts
    assert late.catch_up(no_report) == 3
    assert _late_on_topic(spread) == [(0, 1), (0, 3), (0, 3), (1, 0), (1, 0)]


def _late_on_topic(broker: TestBroker) -> list[tuple[int, int]]:
    """Original partition and offset of the messages published as late."""
    rejected = [dict(record.headers) for record in read_all(broker.bootstrap_servers, REJECTED)]
    assert {headers["reason"] for headers in rejected} <= {b"late"}
    return sorted((int(headers["partition"]), int(headers["offset"])) for headers in rejected)


@pytest.mark.integration
def test_only_batches_with_late_observations_are_read(
    spread: TestBroker, spark: SparkSession, start: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several batches by their progress events, without the checkpoint."""
    job = FeaturesJob(spark, spread.settings, Job(JobFolder(spread.settings.jobs_dir / "stream_features")))
    job._job.folder.path.mkdir(parents=True)
    read: list[list[int]] = []
    publish = LateRowPublisher.publish

    def recording_publish(self: LateRowPublisher, batches: Sequence[Batch]) -> Counter[int]:
        read.append([batch.number for batch in batches])
        return publish(self, batches)

    monkeypatch.setattr(LateRowPublisher, "publish", recording_publish)
    progresses = [
        _progress(100, start, 0, 1, too_late=0),
        _progress(101, start, 1, 3, too_late=1),
        _progress(102, start + timedelta(minutes=10), 3, 5, too_late=1),
        _progress(103, start + timedelta(minutes=20), 5, 6, too_late=0),
    ]
    job._handle_events([QueryProgress("features", batch) for batch in progresses])
    job._handle_events([QueryProgress("features", batch) for batch in progresses[2:]])  # repeated batches
    job._group.close()
    assert read[0] == [101, 102]
    assert _late_on_topic(spread) == [(0, 1), (0, 3)]
    lines = [json.loads(line) for line in job._job.folder.progress.read_text().splitlines()]
    assert [line["late"] for line in lines[:4]] == [0, 1, 1, 0]


def _progress(number: int, watermark: datetime, start: int, end: int, too_late: int) -> dict[str, Any]:
    """The fields of a progress event of Spark that the job reads."""
    return {
        "batchId": number,
        "numInputRows": end - start,
        "eventTime": {"watermark": watermark.isoformat()},
        "durationMs": {"triggerExecution": 400},
        "sources": [
            {"startOffset": {RAW: {"0": start}}, "endOffset": {RAW: {"0": end}}, "latestOffset": {RAW: {"0": end}}}
        ],
        "stateOperators": [{"numRowsTotal": 1, "memoryUsedBytes": 1}],
        "sink": {"numOutputRows": 1},
        "observedMetrics": {"late": {"late": too_late}},
    }


def test_the_first_batch_has_empty_start_offsets(start: datetime) -> None:
    first = _progress(0, start, 0, 5, 0)
    first["sources"][0]["startOffset"] = None
    assert batch_from_progress(first) == Batch(0, round(start.timestamp() * 1000), {}, {RAW: {"0": 5}})


@pytest.mark.integration
def test_heartbeats_are_recorded_while_tasks_advance(spark: SparkSession, settings: Settings, folder: Path) -> None:
    job = FeaturesJob(spark, settings, Job(JobFolder(folder)))
    heartbeat = job._job.folder.heartbeat

    def work() -> str:
        while not heartbeat.exists():
            spark.range(100_000).repartition(2).count()
        return "done"

    assert job._with_heartbeat(work) == "done"


@pytest.mark.integration
def test_an_ended_query_is_detected_while_another_sends_events(
    spark: SparkSession, settings: Settings, folder: Path
) -> None:
    job = FeaturesJob(spark, settings, Job(JobFolder(folder)))
    job._events = SimpleNamespace(next=lambda seconds: [QueryProgress(REJECTED_QUERY, None)])  # type: ignore[assignment]
    ended = SimpleNamespace(name=REJECTED_QUERY, isActive=False, exception=lambda: None)
    with pytest.raises(FeaturesError, match=REJECTED_QUERY):
        job._poll([ended])  # type: ignore[list-item]
