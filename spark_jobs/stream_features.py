"""The features job: observations from `weather-raw` to window features on `weather-features`, for ever.

Run by spark-submit with the configuration of `spark_jobs.spark_conf.stream_conf`; settings come from the environment.

Two queries. *features* is the stateful one, in update mode: a window is sent again whenever an observation changes
it. *rejected* is stateless and sends what is no observation to `weather-rejected`. Both judge a message by the same
rules and the same clock (its arrival at the broker), so each message goes one way and one way only.

There is no `maxOffsetsPerTrigger`: the partitions of a backlog would be read at different speeds, the watermark
would follow the fastest, and the others' observations would be dropped as late. A backlog is one batch instead.

If messages were deleted from the broker before they were read, the job says how many, and goes on: stopping for ever
would lose what comes as well.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import StreamingQuery

from spark_jobs.batches import batch_from_progress, last_batch
from spark_jobs.checkpoint import CheckpointError, check, damaged, damages, is_older
from spark_jobs.checkpoint_migration import CheckpointMigration, migrate_checkpoint
from spark_jobs.feature_records import feature_records
from spark_jobs.group_offsets import GroupOffsets
from spark_jobs.late_rows import LateRows
from spark_jobs.parsing import beyond, observations, parse, rejected
from spark_jobs.query_progress import Events, QueryProgress, Work, figures, in_words
from spark_jobs.station_rules import station_rules
from spark_jobs.window_features import window_features
from weatherglass.jobs.job import Job, running
from weatherglass.qc.observation_checks import Reason, Rules
from weatherglass.records import iso
from weatherglass.settings import Settings, load_settings
from weatherglass.topics import FEATURES, RAW, REJECTED

FEATURES_QUERY = "features"
REJECTED_QUERY = "rejected"

REJECTED_TRIGGER_SECONDS = 5.0
"""Nobody waits for a rejected message, and an idle query costs a look at the broker each time."""

FETCH_WAIT_MS = 10
"""How long the broker holds back an answer to a fetch beyond the last message."""

LAST_BATCH_SECONDS = 15.0
"""How long a stop waits for the running batch; TERM would come after 20."""


LOOK_SECONDS = 0.5
"""How often the loop looks at the queries and their tasks while nothing is told."""
BEATING_SECONDS = 600.0
"""The longest that work beside the queries may take: their tasks move too, so that it hangs could not be told."""

T = TypeVar("T")


class FeaturesError(RuntimeError):
    """The job cannot go on; the message says why and what to do."""


def raw_messages(spark: SparkSession, settings: Settings, start: dict[str, int] | None = None) -> DataFrame:
    """`weather-raw` from where the checkpoint stands, or without one from `start` (partition -> offset) or the
    beginning."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.bootstrap_servers)
        .option("subscribe", RAW)
        .option("startingOffsets", json.dumps({RAW: start}) if start else "earliest")
        .option("failOnDataLoss", "false")
        .option("includeHeaders", "true")
        # Spark asks for a partition's offsets right behind a fetch, on the same connection, and the broker answers in
        # order: with Kafka's 500 ms of waiting for more, every task of a small batch takes that long.
        .option("kafka.fetch.max.wait.ms", FETCH_WAIT_MS)
        .load()
    )


def start_queries(spark: SparkSession, settings: Settings, checkpoint: Path, rules: Rules) -> list[StreamingQuery]:
    """Start both queries; each has its own folder below `checkpoint`."""
    taken = CheckpointMigration.noted(checkpoint)
    parsed = parse(raw_messages(spark, settings, taken.start if taken else None), settings)
    closed, unread = (taken.closed, beyond(taken.read)) if taken else (0, None)
    features = feature_records(window_features(observations(parsed), rules, closed, unread))
    by_reason = [F.count_if(F.col("reason") == reason.value).alias(reason.value) for reason in Reason]
    refused = rejected(parsed.where("reason is not null").observe(REJECTED_QUERY, *by_reason))
    return [
        _start(features, FEATURES_QUERY, FEATURES, "update", settings.spark_trigger_seconds, settings, checkpoint),
        _start(refused, REJECTED_QUERY, REJECTED, "append", REJECTED_TRIGGER_SECONDS, settings, checkpoint),
    ]


def _start(
    records: DataFrame, name: str, topic: str, mode: str, trigger: float, settings: Settings, checkpoint: Path
) -> StreamingQuery:
    return (
        records.writeStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.bootstrap_servers)
        .option("topic", topic)
        .option("checkpointLocation", str(checkpoint / name))
        .queryName(name)
        .outputMode(mode)
        .trigger(processingTime=f"{trigger} seconds")
        .start()
    )


class FeaturesJob:
    """The loop around the queries: reports, offsets for others to see, late rows, the orderly end."""

    def __init__(self, spark: SparkSession, settings: Settings, job: Job):
        self._spark, self._job, self._settings = spark, job, settings
        self._checkpoint = job.folder.path / "checkpoint"
        self._group = GroupOffsets(settings.bootstrap_servers)
        self._late = LateRows(spark, settings, job.folder.path)
        self._events = Events(spark)
        self._work = Work(spark)

    def run(self) -> None:
        """Until somebody asks the job to stop.

        Raises:
            FeaturesError: a topic is missing, or a query failed.
            CheckpointError: a file of the checkpoint is damaged.
        """
        try:
            self._look_around()
            rules = station_rules(self._settings, self._job.folder.path)
            queries = start_queries(self._spark, self._settings, self._checkpoint, rules)
            while not self._job.stopping():
                self._follow(queries)
            self._stop(queries)
        finally:
            self._group.close()

    def _look_around(self) -> None:
        if missing := self._group.missing([RAW, FEATURES, REJECTED]):
            raise FeaturesError(f"no topic {', '.join(missing)} on the broker: run the DAG bootstrap_topics first")
        if is_older(self._checkpoint):
            self._take_over()
        newest, taken = last_batch(self._checkpoint / FEATURES_QUERY), CheckpointMigration.noted(self._checkpoint)
        if newest is None:
            self._late.begin_anew()
            self._group.commit_start(RAW, taken.read if taken else {})
            if not taken:
                self._job.report("starts at the beginning of weather-raw")
            return
        self._group.commit_start(RAW, newest.end[RAW])
        for loss in self._group.deleted(newest.end):
            self._job.report(loss, lost=True)
        late = self._catch_up()
        self._job.report(f"goes on after batch {newest.number}" + (f"; {late} late observations" if late else ""))

    def _take_over(self) -> None:
        """From a checkpoint of an older version."""
        self._catch_up()
        tolerance = timedelta(minutes=self._settings.future_tolerance_minutes)
        taken = migrate_checkpoint(
            self._checkpoint, FEATURES_QUERY, tolerance, lambda time: self._group.arrived_since(RAW, time)
        )
        if taken:
            for loss in self._group.deleted({RAW: taken.read}):
                self._job.report(loss, lost=True)
            self._job.report(
                f"takes over from a checkpoint of an older version, which is kept beside the new one: windows beyond "
                f"{iso(datetime.fromtimestamp(taken.closed / 1000, UTC))} are made again from weather-raw, from "
                f"offsets {json.dumps(taken.start)}"
            )

    def _follow(self, queries: list[StreamingQuery]) -> None:
        for query in queries:
            if not query.isActive:
                raise self._failure(query)
        events = self._events.next(LOOK_SECONDS)
        if not events and self._work.moved():
            self._job.beat()
        self._take(events)

    def _take(self, events: list[QueryProgress]) -> None:
        features = [event.batch for event in events if event.query == FEATURES_QUERY]
        if features:
            self._job.beat()
        self._features([batch for batch in features if batch and batch["numInputRows"]])
        for event in events:
            if event.query == REJECTED_QUERY and event.batch:
                self._rejected(event.batch)

    def _features(self, told: list[dict[str, Any]]) -> None:
        """Of these batches, in their order: publish what was late, all at once, and report."""
        if not told:
            return
        batches = [(figures(progress), batch_from_progress(progress)) for progress in told]
        with_late = [batch for read, batch in batches if read["too_late"]]
        late = self._beating(lambda: self._late.publish(with_late)) if with_late else Counter[int]()
        newest = batches[-1][1]
        self._late.done(newest)
        self._group.commit(newest.end)
        for read, batch in batches:
            self._job.report(in_words(read, late[batch.number]), late=late[batch.number], **read)

    def _catch_up(self) -> int:
        """Publish what was late in the batches that the loop was not told of."""
        return self._beating(lambda: self._late.catch_up(lambda words: self._job.report(words, unexamined=True)))

    def _beating(self, work: Callable[[], T]) -> T:
        """Do it, and beat for as long as Spark's tasks get on, `BEATING_SECONDS` at most."""
        end = time.monotonic() + BEATING_SECONDS
        with ThreadPoolExecutor(1) as other:
            done = other.submit(work)
            while not wait([done], LOOK_SECONDS).done:
                if time.monotonic() < end and self._work.moved():
                    self._job.beat()
            return done.result()

    def _rejected(self, batch: dict[str, Any]) -> None:
        counted = batch.get("observedMetrics", {}).get(REJECTED_QUERY, {})
        if reasons := {reason: count for reason, count in counted.items() if count}:
            said = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            self._job.report(f"rejected, see weather-rejected: {said}", rejected=reasons)

    def _failure(self, query: StreamingQuery) -> Exception:
        """A query's end, its cause in words without Java's frames."""
        error = query.exception()
        if error is None:
            return FeaturesError(f"the query {query.name} ended though nobody asked")
        lines = [line for line in str(error).splitlines() if line.strip() and not line.lstrip().startswith("at ")]
        why = f"the query {query.name} failed: " + " ".join(lines)[:1500]
        return CheckpointError(f"{damaged(self._checkpoint)} {why}") if damages(why) else FeaturesError(why)

    def _stop(self, queries: list[StreamingQuery]) -> None:
        end = time.monotonic() + LAST_BATCH_SECONDS
        for query in queries:
            while query.isActive and query.status["isTriggerActive"] and time.monotonic() < end:
                time.sleep(0.02)
            query.stop()
        self._take(self._events.next(0))
        self._catch_up()
        if newest := last_batch(self._checkpoint / FEATURES_QUERY):
            self._group.commit(newest.end)
            self._job.report(f"stopped after batch {newest.number}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Window features from weather-raw to weather-features.")
    parser.add_argument("job_folder", type=Path, help="the job's folder, with its checkpoint")
    folder = parser.parse_args(arguments).job_folder
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with running(folder) as job:
        settings = load_settings()
        check(folder / "checkpoint", [FEATURES_QUERY, REJECTED_QUERY])
        spark = SparkSession.builder.appName("weatherglass features").getOrCreate()
        FeaturesJob(spark, settings, job).run()
        spark.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
