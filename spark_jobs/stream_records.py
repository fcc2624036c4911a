"""The records of the stream: windows for `weather-features`, and messages in no window for `weather-rejected`.

Invalid messages and late observations pass through the same query as the windows, so that each batch publishes all of
them or is repeated. `MessagePacker.java` parses the messages and packs their readings before the shuffle, with the
original message if the reading may be late.
"""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from spark_jobs.checkpoint_migration import CheckpointMigration
from spark_jobs.feature_records import feature_headers, record_headers, station_key
from spark_jobs.parsing import accepted_times, at_or_beyond, header_text
from weatherglass.history.hours import WATERMARK
from weatherglass.qc.observation_checks import CHECKS, QcParameters, RejectionReason
from weatherglass.settings import Settings
from weatherglass.topics import (
    MAX_REJECTED_KEY_BYTES,
    MAX_REJECTED_VALUE_BYTES,
    TRUNCATED_HEADER,
    TRUNCATED_KEY_HEADER,
    Topics,
)

TIME_SHIFT = timedelta(days=1000)
"""Offset of the column with the watermark from the time of the observations. Spark drops rows older than the watermark
before the state is updated; with this offset it drops none, whatever the clock of the broker does."""

LATE_METRIC = "late"
"""Name of an observed metric: observations whose windows were all closed."""

FAILED_METRIC = "failed_values"
"""Name of an observed metric: observations that failed each check of quality control."""

REJECTED_METRIC = "rejected"
"""Name of an observed metric: messages that are not observations, by reason."""


def stream_records(
    messages: DataFrame, settings: Settings, parameters: QcParameters, migration: CheckpointMigration | None = None
) -> DataFrame:
    """The columns `topic`, `key`, `value` and `headers` of Spark's Kafka sink, from a stream of `weather-raw`.

    The windows that each batch changed, defined in `window_features`, and the messages that are in no window: those
    that are not observations, and observations that are *late*.

    A window is closed for a station when the station's newest observation of the previous batches is 10 minutes or more
    after its end. An observation is added to the windows that are open; it is late if there is none. No other station,
    no partition and no reading speed matters for that.

    Args:
        messages: columns of Spark's Kafka source, with headers.
        parameters: limits, elevations and climate for quality control.
        migration: the progress of the queries of an older version. Windows that they had closed stay closed. Messages
            that they had read are read again only for the open windows: they are not counted in `FAILED_METRIC` again,
            and not published to `weather-rejected` again.
    """
    read, rejected = (migration.read_offsets, migration.rejected_offsets) if migration else ({}, {})
    lateness = jvm.Lateness(timedelta(milliseconds=migration.closed_until if migration else 0), WATERMARK)
    columns = messages.select(
        "value",
        F.unix_micros("timestamp").alias("arrived"),
        "partition",
        "offset",
        "key",
        header_text("source").alias("source"),
        header_text("replayed").alias("replayed"),
        at_or_beyond(read, "partition").alias("counted"),
    )
    packed = jvm.packed_messages(columns, parameters, *accepted_times(settings), lateness)
    reasons = (F.count_if(F.col("reason") == reason.value).alias(reason.value) for reason in RejectionReason)
    rows = (
        packed.where(F.col("reason").isNull() | at_or_beyond(rejected, "partition"))
        .observe(FAILED_METRIC, *(F.sum(f"failed_{check}").alias(check) for check in CHECKS))
        .observe(REJECTED_METRIC, *reasons)
        .withColumn("shifted_time", F.timestamp_micros("newest") + F.lit(TIME_SHIFT))
        .withWatermark("shifted_time", f"{(TIME_SHIFT + state_retention(settings)) // timedelta(seconds=1)} seconds")
    )
    windows = jvm.stream_windows(rows, parameters, lateness)
    late = F.col("reason").eqNullSafe(RejectionReason.LATE.value)
    published = windows.where(~late | at_or_beyond(rejected, "partition"))
    return _records(published.observe(LATE_METRIC, F.count_if(late).alias(LATE_METRIC)), settings.topics)


def state_retention(settings: Settings) -> timedelta:
    """How long the state of a station is kept after its newest observation, measured by the newest of all stations.

    An accepted observation is at most the past horizon older than its arrival, its message is on `weather-raw` for at
    most the retention, and the newest observation of all stations is at most the tolerance in the future. So after this
    time, all observations of the station that can follow are newer than those before, and none of them can be late.
    """
    (retention,) = (topic.retention for topic in settings.topics.table if topic.name == settings.topics.raw)
    future, past = accepted_times(settings)
    return past + retention + future


def _records(rows: DataFrame, topics: Topics) -> DataFrame:
    is_window = F.col("end").isNotNull()
    return rows.select(
        F.when(is_window, F.lit(topics.features)).otherwise(F.lit(topics.rejected)).alias("topic"),
        F.when(is_window, station_key()).otherwise(F.substring("key", 1, MAX_REJECTED_KEY_BYTES)).alias("key"),
        F.when(is_window, F.col("value")).otherwise(F.substring("value", 1, MAX_REJECTED_VALUE_BYTES)).alias("value"),
        F.when(is_window, feature_headers()).otherwise(_rejection_headers(topics)).alias("headers"),
    )


def _rejection_headers(topics: Topics) -> Column:
    """Headers of a record on `weather-rejected`.

    A key or value that is too long is truncated, since the broker would refuse the record and the query would fail
    repeatedly. Then the header `truncated` gives the original size of the value in bytes, and `truncated_key` that of
    the key. The value of a late observation is missing, and counts as truncated, if it was not carried through the
    shuffle. The other headers give topic, partition and offset of the complete message. The header `replayed` is kept
    if the message was sent again before.
    """
    kept = F.least(F.coalesce(F.octet_length("value"), F.lit(0)), F.lit(MAX_REJECTED_VALUE_BYTES))
    key_size = F.octet_length("key")
    texts = {
        "reason": F.col("reason"),
        "topic": F.lit(topics.raw),
        "partition": F.col("partition"),
        "offset": F.col("offset"),
        "replayed": F.col("replayed"),
        TRUNCATED_HEADER: F.when(F.col("size") > kept, F.col("size")),
        TRUNCATED_KEY_HEADER: F.when(key_size > MAX_REJECTED_KEY_BYTES, key_size),
    }
    return record_headers({name: text.cast("string") for name, text in texts.items()})
