"""Which messages are looked at for late observations, and which are published."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from kafka import KafkaProducer
from pyspark.sql import SparkSession

from spark_jobs.batches import Batch, batch_from_progress
from spark_jobs.checkpoint_migration import EARLIEST
from spark_jobs.late_rows import LateRows, Span
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
        """A batch, and how far it read on each partition, `p0` and so on."""
        metadata = json.dumps({"batchWatermarkMs": round(watermark.timestamp() * 1000)})
        offsets = json.dumps({RAW: {name.removeprefix("p"): end for name, end in ends.items()}})
        (self._logs / "offsets" / str(number)).write_text(f"v1\n{metadata}\n{offsets}", encoding="utf-8")
        (self._logs / "commits" / str(number)).write_text('v1\n{"nextBatchWatermarkMs":0}', encoding="utf-8")


def silent(words: str) -> NoReturn:
    raise AssertionError(f"nothing was to be said: {words}")


@pytest.fixture
def folder(settings: Settings) -> Path:
    folder = settings.jobs_dir / "stream_features"
    folder.mkdir(parents=True)
    return folder


def batch(number: int) -> Batch:
    return Batch(number, 1, {RAW: {"0": number - 1}}, {RAW: {"0": number}})


def test_what_was_looked_after_is_not_looked_at_again(settings: Settings, folder: Path, start: datetime) -> None:
    """The progress of batches comes after others were looked after already, with a Spark that may not be asked."""
    checkpoint = Checkpoint(folder)
    for number in range(195, 201):
        checkpoint.finish(number, start, p0=number)
    late = LateRows(None, settings, folder)  # type: ignore[arg-type]
    late.done(batch(200))
    late.done(batch(197))
    assert late.catch_up(silent) == 0
    assert late.publish([batch(198)]).total() == 0
    late.done(batch(201))
    assert late.publish([batch(201)]).total() == 0


def test_a_checkpoint_that_is_another(settings: Settings, folder: Path, start: datetime) -> None:
    """One moved away, and one put back that is older than the note."""
    late = LateRows(None, settings, folder)  # type: ignore[arg-type]
    late.done(batch(500))
    late.begin_anew()
    checkpoint = Checkpoint(folder)
    checkpoint.finish(0, datetime.fromtimestamp(0, start.tzinfo), p0=7)  # without a watermark nothing is late
    assert late.catch_up(silent) == 0
    late.done(batch(500))
    checkpoint.finish(1, start, p0=8)
    assert late.catch_up(silent) == 0
    with pytest.raises(AttributeError):  # the next one is looked at, and asks Spark
        late.publish([batch(2)])


@pytest.fixture
def spread(fresh_broker: TestBroker, start: datetime) -> TestBroker:
    """Messages of the batches 100 to 103 on two partitions: minutes after the start, or rubbish."""
    producer = KafkaProducer(bootstrap_servers=fresh_broker.bootstrap_servers, acks="all")
    for partition, minutes in ((0, [-30, -20, 1, -4, 8, None]), (1, [-2])):
        for number, minute in enumerate(minutes):
            one = observe("paris", start + timedelta(minutes=minute or 0), number)
            value = b"rubbish" if minute is None else json.dumps(one).encode()
            producer.send(RAW, value, b"paris", partition=partition).get(30)
    producer.close()
    return fresh_broker


@pytest.mark.integration
def test_catches_up(spread: TestBroker, spark: SparkSession, start: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches with a watermark each are read at once; of those that the checkpoint knows no more it is said."""
    monkeypatch.setattr("spark_jobs.late_rows.RECORDS_PER_TASK", 2)
    folder = spread.settings.jobs_dir / "stream_features"
    checkpoint = Checkpoint(folder)
    checkpoint.finish(101, start, p0=3)
    checkpoint.finish(102, start + timedelta(minutes=10), p0=5)
    checkpoint.finish(103, start + timedelta(minutes=20), p0=6, p1=1)
    late = LateRows(spark, spread.settings, folder)
    tasks = late._messages([Span(103, 1, of=0, first=EARLIEST, end=6)])._jdf.rdd().getNumPartitions()
    assert tasks == 3, "each soon gives a sign of life"
    late.done(Batch(90, 1, {}, {RAW: {"0": 0}}))

    said: list[str] = []
    assert late.catch_up(said.append) == 2
    assert _late_on_topic(spread) == [(0, 3), (1, 0)]
    assert len(said) == 1
    assert "91 to 101" in said[0]
    assert 'from offsets {"0": 0} to {"0": 3}' in said[0]
    assert late.catch_up(silent) == 0

    late.begin_anew()
    late.done(Batch(100, 1, {}, {RAW: {"0": 1}}))  # so the note knows where the oldest batch began
    assert late.catch_up(silent) == 3
    assert _late_on_topic(spread) == [(0, 1), (0, 3), (0, 3), (1, 0), (1, 0)]


def _late_on_topic(broker: TestBroker) -> list[tuple[int, int]]:
    """Partition and offset of what was published as late."""
    found = [dict(record.headers) for record in read_all(broker.bootstrap_servers, REJECTED)]
    assert {headers["reason"] for headers in found} <= {b"late"}
    return sorted((int(headers["partition"]), int(headers["offset"])) for headers in found)


@pytest.mark.integration
def test_only_batches_with_late_observations_are_read(
    spread: TestBroker, spark: SparkSession, start: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the queries' progress, several at once, whatever of them the checkpoint still has."""
    job = FeaturesJob(spark, spread.settings, Job(JobFolder(spread.settings.jobs_dir / "stream_features")))
    job._job.folder.path.mkdir(parents=True)
    read: list[list[int]] = []
    publish = LateRows.publish
    monkeypatch.setattr(
        LateRows, "publish", lambda self, batches: read.append([b.number for b in batches]) or publish(self, batches)
    )
    told = [
        _progress(100, start, 0, 1, too_late=0),
        _progress(101, start, 1, 3, too_late=1),
        _progress(102, start + timedelta(minutes=10), 3, 5, too_late=1),
        _progress(103, start + timedelta(minutes=20), 5, 6, too_late=0),
    ]
    job._take([QueryProgress("features", batch) for batch in told])
    job._take([QueryProgress("features", batch) for batch in told[2:]])  # as a batch that is done once more
    job._group.close()
    assert read[0] == [101, 102]
    assert _late_on_topic(spread) == [(0, 1), (0, 3)]
    lines = [json.loads(line) for line in job._job.folder.progress.read_text().splitlines()]
    assert [line["late"] for line in lines[:4]] == [0, 1, 1, 0]


def _progress(number: int, watermark: datetime, start: int, end: int, too_late: int) -> dict[str, Any]:
    """What Spark tells of a batch, as far as it is read."""
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


def test_where_the_first_batch_began(start: datetime) -> None:
    first = _progress(0, start, 0, 5, 0)
    first["sources"][0]["startOffset"] = None
    assert batch_from_progress(first) == Batch(0, round(start.timestamp() * 1000), {}, {RAW: {"0": 5}})


@pytest.mark.integration
def test_a_long_look_gives_signs_of_life(spark: SparkSession, settings: Settings, folder: Path) -> None:
    job = FeaturesJob(spark, settings, Job(JobFolder(folder)))
    heartbeat = job._job.folder.heartbeat

    def work() -> str:
        while not heartbeat.exists():
            spark.range(100_000).repartition(2).count()
        return "done"

    assert job._beating(work) == "done"


@pytest.mark.integration
def test_a_dead_query_is_seen_however_busy_the_others_are(
    spark: SparkSession, settings: Settings, folder: Path
) -> None:
    job = FeaturesJob(spark, settings, Job(JobFolder(folder)))
    job._events = SimpleNamespace(next=lambda seconds: [QueryProgress(REJECTED_QUERY, None)])  # type: ignore[assignment]
    dead = SimpleNamespace(name=REJECTED_QUERY, isActive=False, exception=lambda: None)
    with pytest.raises(FeaturesError, match="rejected ended"):
        job._follow([dead])  # type: ignore[list-item]
