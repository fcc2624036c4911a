"""The features job: a continuous stream from observations on `weather-raw` to window features on `weather-features`.

Run by spark-submit with the configuration of `spark_jobs.spark_conf.stream_conf`; settings come from the environment.

It runs two queries. *features* is stateful and in update mode: a window is published again whenever an observation
changes it. *rejected* is stateless and publishes invalid messages to `weather-rejected`. Both apply the same rules and
the same clock (arrival at the broker), so each message goes to exactly one of them.

There is no `maxOffsetsPerTrigger`: the partitions of a backlog would be read at different speeds, the watermark
would follow the fastest, and observations of the others would be dropped as late. Instead, a backlog is one batch.

If messages were deleted from the broker before they were read, the job reports their number and continues: stopping
would lose the following messages as well.
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
from spark_jobs.checkpoint import (
    check_checkpoint,
    damage_error,
    indicates_damage,
    is_older_format,
)
from spark_jobs.checkpoint_migration import CheckpointMigration, migrate_checkpoint
from spark_jobs.feature_records import feature_records
from spark_jobs.group_offsets import GroupOffsets
from spark_jobs.late_rows import LateRowPublisher
from spark_jobs.parsing import at_or_beyond, observations, parse, rejected
from spark_jobs.qc_parameters import load_qc_parameters
from spark_jobs.query_progress import QueryEventQueue, QueryProgress, TaskActivity, batch_metrics, batch_summary
from spark_jobs.window_features import window_features
from weatherglass.jobs.job import Job, job_lifecycle
from weatherglass.qc.observation_checks import QcParameters, RejectionReason
from weatherglass.records import iso
from weatherglass.settings import Settings, load_settings
from weatherglass.topics import FEATURES, RAW, REJECTED

FEATURES_QUERY = "features"
REJECTED_QUERY = "rejected"

REJECTED_TRIGGER_SECONDS = 5.0
"""Rejected messages are not urgent, and each trigger of an idle query requests the offsets from the broker."""

FETCH_WAIT_MS = 10
"""How long the broker delays the response to a fetch at the end of a partition."""

LAST_BATCH_SECONDS = 15.0
"""How long a stop waits for the running batch; SIGTERM follows after 20 seconds."""

POLL_SECONDS = 0.5
"""How long the main loop waits for events before it checks the queries and their tasks."""

MAX_HEARTBEAT_SECONDS = 600.0
"""Longest time for which `_with_heartbeat` records heartbeats. The tasks of the queries advance too, so that a hang of
other work could not be detected otherwise."""

T = TypeVar("T")


class FeaturesError(RuntimeError):
    """The job cannot continue; the message gives the cause and what to do."""


def raw_messages(spark: SparkSession, settings: Settings, start: dict[str, int] | None = None) -> DataFrame:
    """The stream of `weather-raw`, from the offsets in the checkpoint.

    Args:
        start: partition -> offset to start from without a checkpoint; None starts at the beginning of the topic.
    """
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.bootstrap_servers)
        .option("subscribe", RAW)
        .option("startingOffsets", json.dumps({RAW: start}) if start else "earliest")
        .option("failOnDataLoss", "false")
        .option("includeHeaders", "true")
        # Spark requests the offsets of a partition directly after a fetch, on the same connection, and the broker
        # responds in order: with Kafka's default of 500 ms, every task of a small batch would take that long.
        .option("kafka.fetch.max.wait.ms", FETCH_WAIT_MS)
        .load()
    )


def start_queries(
    spark: SparkSession, settings: Settings, checkpoint: Path, parameters: QcParameters
) -> list[StreamingQuery]:
    """Start both queries; each has its own folder in `checkpoint`."""
    migration = CheckpointMigration.load(checkpoint)
    parsed = parse(raw_messages(spark, settings, migration.start_offsets if migration else None), settings)
    closed, unread = (migration.closed_until, at_or_beyond(migration.read_offsets)) if migration else (0, None)
    features = feature_records(window_features(observations(parsed), parameters, closed, unread))
    by_reason = [F.count_if(F.col("reason") == reason.value).alias(reason.value) for reason in RejectionReason]
    rejected_records = rejected(parsed.where("reason is not null").observe(REJECTED_QUERY, *by_reason))
    return [
        _start(features, FEATURES_QUERY, FEATURES, "update", settings.spark_trigger_seconds, settings, checkpoint),
        _start(rejected_records, REJECTED_QUERY, REJECTED, "append", REJECTED_TRIGGER_SECONDS, settings, checkpoint),
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
    """Main loop of the job: progress reports, committed offsets, late rows, and an orderly stop."""

    def __init__(self, spark: SparkSession, settings: Settings, job: Job):
        self._spark, self._job, self._settings = spark, job, settings
        self._checkpoint = job.folder.path / "checkpoint"
        self._group = GroupOffsets(settings.bootstrap_servers)
        self._late = LateRowPublisher(spark, settings, job.folder.path)
        self._events = QueryEventQueue(spark)
        self._activity = TaskActivity(spark)

    def run(self) -> None:
        """Run until a stop is requested.

        Raises:
            FeaturesError: a topic is missing, or a query failed.
            CheckpointError: a file of the checkpoint is damaged.
        """
        try:
            self._prepare()
            parameters = load_qc_parameters(self._settings, self._job.folder.path)
            queries = start_queries(self._spark, self._settings, self._checkpoint, parameters)
            while not self._job.stop_requested():
                self._poll(queries)
            self._stop(queries)
        finally:
            self._group.close()

    def _prepare(self) -> None:
        """Check the topics, migrate an older checkpoint, commit the starting offsets, publish missed late rows."""
        if missing := self._group.missing_topics([RAW, FEATURES, REJECTED]):
            raise FeaturesError(f"Topics missing on the broker: {', '.join(missing)}. Run the DAG bootstrap_topics")
        if is_older_format(self._checkpoint):
            self._migrate()
        newest, migration = last_batch(self._checkpoint / FEATURES_QUERY), CheckpointMigration.load(self._checkpoint)
        if newest is None:
            self._late.reset()
            self._group.commit_start(RAW, migration.read_offsets if migration else {})
            if not migration:
                self._job.report("Starting at the beginning of weather-raw")
            return
        self._group.commit_start(RAW, newest.end[RAW])
        for loss in self._group.describe_deleted(newest.end):
            self._job.report(loss, lost=True)
        late = self._publish_missed_late_rows()
        self._job.report(f"Resuming after batch {newest.number}" + (f"; {late} late observations" if late else ""))

    def _migrate(self) -> None:
        self._publish_missed_late_rows()
        tolerance = timedelta(minutes=self._settings.future_tolerance_minutes)
        migration = migrate_checkpoint(
            self._checkpoint, FEATURES_QUERY, tolerance, lambda time: self._group.offsets_since(RAW, time)
        )
        if migration:
            for loss in self._group.describe_deleted({RAW: migration.read_offsets}):
                self._job.report(loss, lost=True)
            self._job.report(
                f"Migrated a checkpoint of an older version, whose folder is kept: windows that end after "
                f"{iso(datetime.fromtimestamp(migration.closed_until / 1000, UTC))} are computed again from "
                f"weather-raw, from offsets {json.dumps(migration.start_offsets)}"
            )

    def _poll(self, queries: list[StreamingQuery]) -> None:
        for query in queries:
            if not query.isActive:
                raise self._query_error(query)
        events = self._events.next(POLL_SECONDS)
        if not events and self._activity.advanced():
            self._job.heartbeat()
        self._handle_events(events)

    def _handle_events(self, events: list[QueryProgress]) -> None:
        features = [event.batch for event in events if event.query == FEATURES_QUERY]
        if features:
            self._job.heartbeat()
        self._handle_feature_batches([batch for batch in features if batch and batch["numInputRows"]])
        for event in events:
            if event.query == REJECTED_QUERY and event.batch:
                self._report_rejected(event.batch)

    def _handle_feature_batches(self, progresses: list[dict[str, Any]]) -> None:
        """Publish the late rows of these batches with one read, commit their offsets, and report each, in order."""
        if not progresses:
            return
        batches = [(batch_metrics(progress), batch_from_progress(progress)) for progress in progresses]
        with_late = [batch for metrics, batch in batches if metrics["too_late"]]
        late = self._with_heartbeat(lambda: self._late.publish(with_late)) if with_late else Counter[int]()
        newest = batches[-1][1]
        self._late.mark_done(newest)
        self._group.commit(newest.end)
        for metrics, batch in batches:
            self._job.report(batch_summary(metrics, late[batch.number]), late=late[batch.number], **metrics)

    def _publish_missed_late_rows(self) -> int:
        """Publish late rows of batches whose progress events the loop did not receive."""
        return self._with_heartbeat(
            lambda: self._late.catch_up(lambda message: self._job.report(message, unexamined=True))
        )

    def _with_heartbeat(self, work: Callable[[], T]) -> T:
        """Run `work`, with heartbeats while Spark's tasks advance, for at most `MAX_HEARTBEAT_SECONDS`."""
        end = time.monotonic() + MAX_HEARTBEAT_SECONDS
        with ThreadPoolExecutor(1) as executor:
            future = executor.submit(work)
            while not wait([future], POLL_SECONDS).done:
                if time.monotonic() < end and self._activity.advanced():
                    self._job.heartbeat()
            return future.result()

    def _report_rejected(self, batch: dict[str, Any]) -> None:
        counts = batch.get("observedMetrics", {}).get(REJECTED_QUERY, {})
        if reasons := {reason: count for reason, count in counts.items() if count}:
            summary = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            self._job.report(f"Rejected messages (see weather-rejected): {summary}", rejected=reasons)

    def _query_error(self, query: StreamingQuery) -> Exception:
        """The exception of a query that ended, with Java's message but without its stack trace and plan."""
        error = query.exception()
        if error is None:
            return FeaturesError(f"Query {query.name} ended unexpectedly")
        message, _, _ = str(error).partition("=== Streaming Query ===")
        lines = [line for line in message.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
        cause = f"Query {query.name} failed: " + " ".join(lines)[:1500]
        if indicates_damage(cause):
            return damage_error(self._checkpoint, cause)
        return FeaturesError(cause)

    def _stop(self, queries: list[StreamingQuery]) -> None:
        end = time.monotonic() + LAST_BATCH_SECONDS
        for query in queries:
            while query.isActive and query.status["isTriggerActive"] and time.monotonic() < end:
                time.sleep(0.02)
            query.stop()
        self._handle_events(self._events.next(0))
        self._publish_missed_late_rows()
        if newest := last_batch(self._checkpoint / FEATURES_QUERY):
            self._group.commit(newest.end)
            self._job.report(f"Stopped after batch {newest.number}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Stream window features from weather-raw to weather-features.")
    parser.add_argument("job_folder", type=Path, help="job folder, contains the checkpoint")
    folder = parser.parse_args(arguments).job_folder
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with job_lifecycle(folder) as job:
        settings = load_settings()
        check_checkpoint(folder / "checkpoint", [FEATURES_QUERY, REJECTED_QUERY])
        spark = SparkSession.builder.appName("weatherglass features").getOrCreate()
        FeaturesJob(spark, settings, job).run()
        spark.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
