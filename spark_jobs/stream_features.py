"""The features job: a continuous stream from observations on `weather-raw` to window features on `weather-features`.

Run by spark-submit with the configuration of `spark_jobs.spark_conf.stream_conf`; settings come from the environment.

It runs one query, stateful and in update mode: a window is published again whenever an observation changes it. Messages
that are not observations, and observations whose windows are all closed, are published to `weather-rejected` by the
same batch (`stream_records`).

There is no `maxOffsetsPerTrigger`: a backlog is one batch, so that its windows are computed and published once.

If messages are not computed, because they were deleted before they were read or the log on the broker was replaced, the
job reports their offsets and continues (`log_position`): stopping would lose the following messages as well.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from spark_jobs.batches import last_batch
from spark_jobs.checkpoint import (
    check_checkpoint,
    check_topic,
    damage_error,
    indicates_damage,
    is_older_format,
)
from spark_jobs.checkpoint_migration import OLD_REJECTED_QUERY, CheckpointMigration, migrate_checkpoint
from spark_jobs.group_offsets import GroupOffsets
from spark_jobs.kafka_traffic import KafkaTraffic
from spark_jobs.log_position import LogPosition
from spark_jobs.qc_parameters import QcParameterWatch
from spark_jobs.query_progress import Event, QueryEventQueue, TaskActivity, batch_metrics, batch_summary
from spark_jobs.stream_records import stream_records
from weatherglass.jobs.job import Job, job_lifecycle
from weatherglass.kafka_connection import spark_options
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.records import iso
from weatherglass.settings import Settings, load_settings

QUERY = "features"

FETCH_WAIT_MS = 10
"""How long the broker delays the response to a fetch at the end of a partition."""

LAST_BATCH_SECONDS = 15.0
"""How long a stop waits for the running batch; SIGTERM follows after 20 seconds."""

TOPIC_SECONDS = 60.0
"""How long the start waits for topics that are missing."""
TOPIC_POLL_SECONDS = 0.5

CHECK_SECONDS = 10.0
"""Interval between two checks of what rarely changes: the log on the broker, the station table, the history."""

POLL_SECONDS = 0.5
"""How long the main loop waits for events before it checks the query and its tasks."""


class FeaturesError(RuntimeError):
    """The job cannot continue; the message gives the cause and what to do."""


def raw_messages(spark: SparkSession, settings: Settings, start: dict[str, int] | None = None) -> DataFrame:
    """The stream of `weather-raw`, from the offsets in the checkpoint.

    Args:
        start: partition -> offset to start from without a checkpoint; None starts at the beginning of the topic.
    """
    return (
        spark.readStream.format("kafka")
        .options(**spark_options(settings))
        .option("subscribe", settings.topics.raw)
        .option("startingOffsets", json.dumps({settings.topics.raw: start}) if start else "earliest")
        .option("failOnDataLoss", "false")
        .option("includeHeaders", "true")
        # Spark requests the offsets of a partition directly after a fetch, on the same connection, and the broker
        # responds in order: with Kafka's default of 500 ms, every task of a small batch would take that long.
        .option("kafka.fetch.max.wait.ms", FETCH_WAIT_MS)
        .load()
    )


def start_query(spark: SparkSession, settings: Settings, checkpoint: Path, parameters: QcParameters) -> StreamingQuery:
    """Start the query; its folder is in `checkpoint`."""
    migration = CheckpointMigration.load(checkpoint)
    messages = raw_messages(spark, settings, migration.start_offsets if migration else None)
    return (
        stream_records(messages, settings, parameters, migration)
        .writeStream.format("kafka")
        .options(**spark_options(settings))
        .option("checkpointLocation", str(checkpoint / QUERY))
        .queryName(QUERY)
        .outputMode("update")
        .trigger(processingTime=f"{settings.spark_trigger_seconds} seconds")
        .start()
    )


class FeaturesJob:
    """Main loop of the job: progress reports, committed offsets, and an orderly stop."""

    def __init__(self, spark: SparkSession, settings: Settings, job: Job):
        self._spark, self._job, self._settings, self._raw = spark, job, settings, settings.topics.raw
        self._checkpoint = job.folder.path / "checkpoint"
        self._group = GroupOffsets(settings)
        self._events = QueryEventQueue(spark)
        self._activity = TaskActivity(spark)
        self._traffic = KafkaTraffic(spark)
        self._position = self._log_position({})
        self._next_check = time.monotonic() + CHECK_SECONDS

    def run(self) -> None:
        """Run until a stop is requested.

        Raises:
            FeaturesError: a topic is missing, or the query failed.
            CheckpointError: a file of the checkpoint is damaged.
        """
        try:
            self._prepare()
            watch = QcParameterWatch(self._settings, self._job.folder.path)
            while not self._job.stop_requested():
                query = start_query(self._spark, self._settings, self._checkpoint, watch.parameters)
                self._job.heartbeat()
                self._run_until_changed(query, watch)
                self._stop(query)
        finally:
            self._group.close()

    def _run_until_changed(self, query: StreamingQuery, watch: QcParameterWatch) -> None:
        """Run a query until a stop is requested or the parameters have changed: a query cannot replace its own.

        It ends between two batches, because a batch may be a long backlog, and would begin again.
        """
        changed = False
        while not self._job.stop_requested():
            batches = self._poll(query)
            if changed and (batches or not query.status["isTriggerActive"]):
                self._job.report("The stations or their climate changed: the query is started again with them")
                return
            if not changed and time.monotonic() >= self._next_check:
                self._next_check = time.monotonic() + CHECK_SECONDS
                self._position.check_while_running()
                changed = watch.changed()

    def _prepare(self) -> None:
        """Check the topics, migrate an older checkpoint, and commit the starting offsets."""
        self._wait_for_topics()
        if self._job.stop_requested():
            return
        if is_older_format(self._checkpoint):
            self._migrate()
        newest, migration = last_batch(self._checkpoint / QUERY), CheckpointMigration.load(self._checkpoint)
        if newest:
            check_topic(self._checkpoint, newest.end, self._raw)
        elif migration:
            check_topic(self._checkpoint, {migration.topic: migration.read_offsets}, self._raw)
        read = newest.end[self._raw] if newest else migration.read_offsets if migration else {}
        self._position = self._log_position(read)
        self._position.check()
        self._group.commit_start(self._raw, read)
        if newest:
            self._job.report(f"Resuming after batch {newest.number}")
        elif not migration:
            self._job.report(f"Starting at the beginning of {self._raw}")

    def _wait_for_topics(self) -> None:
        """At a first start, the topics are created while this process starts.

        Raises:
            FeaturesError: a topic is missing after `TOPIC_SECONDS`.
        """
        topics, end, waiting = self._settings.topics, time.monotonic() + TOPIC_SECONDS, False
        while missing := self._group.missing_topics([topics.raw, topics.features, topics.rejected]):
            names = ", ".join(missing)
            if self._job.wait(TOPIC_POLL_SECONDS):
                return
            if time.monotonic() > end:
                raise FeaturesError(f"Topics missing on the broker: {names}. Run the DAG bootstrap_topics")
            if waiting:
                self._job.heartbeat()
            else:
                self._job.report(f"Waiting up to {TOPIC_SECONDS:g} s for the topics {names}")
            waiting = True

    def _migrate(self) -> None:
        tolerance = timedelta(minutes=self._settings.future_tolerance_minutes)
        migration = migrate_checkpoint(
            self._checkpoint,
            QUERY,
            self._raw,
            tolerance,
            lambda time: self._group.offsets_since(self._raw, time),
        )
        if migration:
            self._job.report(
                f"Migrated a checkpoint of an older version, whose folder is kept: windows that end after "
                f"{iso(datetime.fromtimestamp(migration.closed_until / 1000, UTC))} are computed again from "
                f"{self._raw}, from offsets {json.dumps(migration.start_offsets)}"
            )

    def _poll(self, query: StreamingQuery) -> bool:
        """Handle the pending events, or wait for one; whether a batch has finished."""
        if not query.isActive:
            raise self._query_error(query)
        events = self._events.next(POLL_SECONDS)
        if events or self._activity.advanced():
            self._job.heartbeat()
        self._handle_events(events)
        return any(events)

    def _log_position(self, read: dict[str, int]) -> LogPosition:
        file = self._checkpoint / "topic-id"
        return LogPosition(self._group, self._raw, file, read, lambda loss: self._job.report(loss, lost=True))

    def _handle_events(self, events: list[Event]) -> None:
        """Commit the offsets of finished batches, and report each batch, in order."""
        batches = [batch for batch in events if batch and batch["sources"][0]["endOffset"]]
        if not batches:
            return
        end = batches[-1]["sources"][0]["endOffset"]
        self._position.advance(end[self._raw])
        self._group.commit(end)
        for batch in batches:
            if batch["numInputRows"]:
                metrics = batch_metrics(batch, self._raw)
                traffic = self._traffic.byte_rates()
                self._job.report(batch_summary(metrics), **metrics, kafka_bytes_per_second=traffic)

    def _query_error(self, query: StreamingQuery) -> Exception:
        """The exception of the query that ended, with Java's message but without its stack trace and plan."""
        error = query.exception()
        if error is None:
            return FeaturesError(f"Query {query.name} ended unexpectedly")
        message, _, _ = str(error).partition("=== Streaming Query ===")
        lines = [line for line in message.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
        cause = f"Query {query.name} failed: " + " ".join(lines)[:1500]
        if indicates_damage(cause):
            return damage_error(self._checkpoint, cause)
        return FeaturesError(cause)

    def _stop(self, query: StreamingQuery) -> None:
        end = time.monotonic() + LAST_BATCH_SECONDS
        while query.isActive and query.status["isTriggerActive"] and time.monotonic() < end:
            time.sleep(0.02)
        query.stop()
        self._handle_events(self._events.next(0))
        if newest := last_batch(self._checkpoint / QUERY):
            self._group.commit(newest.end)
            self._job.report(f"Stopped after batch {newest.number}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Stream window features from weather-raw to weather-features.")
    parser.add_argument("job_folder", type=Path, help="job folder, contains the checkpoint")
    folder = parser.parse_args(arguments).job_folder
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with job_lifecycle(folder) as job:
        settings = load_settings()
        check_checkpoint(folder / "checkpoint", [QUERY, OLD_REJECTED_QUERY])
        spark = SparkSession.builder.appName("weatherglass features").getOrCreate()
        FeaturesJob(spark, settings, job).run()
        spark.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
