"""The records of the stream: windows for `weather-features`, and messages in no window for `weather-rejected`.

Invalid messages and late observations pass through the same query as the windows, so that each batch publishes all of
them or is repeated. A message that may be needed is carried through the shuffle; that is a small part of them.
"""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from spark_jobs.checkpoint_migration import CheckpointMigration
from spark_jobs.feature_records import feature_headers, station_key
from spark_jobs.parsing import at_or_beyond, original_message, parse, rejection_headers
from spark_jobs.window_features import reading_columns
from weatherglass.history.hours import SLIDE, WATERMARK, WINDOW
from weatherglass.qc.observation_checks import CHECKS, QcParameters, RejectionReason
from weatherglass.settings import Settings
from weatherglass.topics import FEATURES, RAW, REJECTED, TOPICS

TIME_SHIFT = timedelta(days=1000)
"""Offset of the column with the watermark from the time of the observations. Spark drops rows older than the watermark
before the state is updated; with this offset it drops none, whatever the clock of the broker does."""

LATE_METRIC = "late"
"""Name of an observed metric: observations whose windows were all closed."""

FAILED_METRIC = "failed_values"
"""Name of an observed metric: observations that failed each check of quality control."""

REJECTED_METRIC = "rejected"
"""Name of an observed metric: messages that are no observations, by reason."""


def stream_records(
    messages: DataFrame, settings: Settings, parameters: QcParameters, migration: CheckpointMigration | None = None
) -> DataFrame:
    """The columns `topic`, `key`, `value` and `headers` of Spark's Kafka sink, from a stream of `weather-raw`.

    The windows that each batch changed, defined in `window_features`, and the messages that are in no window: those
    that are no observations, and observations that are *late*.

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
    closed = timedelta(milliseconds=migration.closed_until if migration else 0)
    parsed = parse(messages, settings).where(F.col("reason").isNull() | at_or_beyond(rejected, "partition"))
    failed = (F.count_if(at_or_beyond(read, "partition") & _failed(check)).alias(check) for check in CHECKS)
    reasons = (F.count_if(F.col("reason") == reason.value).alias(reason.value) for reason in RejectionReason)
    valid = F.col("reason").isNull()
    rows = (
        parsed.select(
            *reading_columns(parameters),
            F.col("partition"),
            F.octet_length("value").alias("size"),
            _original_if_needed(settings, closed).alias("original"),
            F.when(valid, F.col("timestamp") + F.lit(TIME_SHIFT)).alias("shifted_time"),
            "reason",
        )
        .observe(FAILED_METRIC, *failed)
        .observe(REJECTED_METRIC, *reasons)
        .withColumn("station_id", F.when(valid, F.col("station_id")).otherwise(""))
        .drop("reason")
        .withWatermark("shifted_time", f"{(TIME_SHIFT + state_retention(settings)) // timedelta(seconds=1)} seconds")
    )
    windows = jvm.stream_windows(rows, parameters, closed, WATERMARK)
    late = F.col("end").isNull() & (F.col("station_id") != "")
    published = windows.where(~late | at_or_beyond(rejected, "topic_partition"))
    return _records(published.observe(LATE_METRIC, F.count_if(late).alias(LATE_METRIC)))


def state_retention(settings: Settings) -> timedelta:
    """How long the state of a station is kept after its newest observation, measured by the newest of all stations.

    An accepted observation is at most the past horizon older than its arrival, its message is on `weather-raw` for at
    most the retention, and the newest observation of all stations is at most the tolerance in the future. So after this
    time, all observations of the station that can follow are newer than those before, and none of them can be late.
    """
    (retention,) = (topic.retention for topic in TOPICS if topic.name == RAW)
    past, future = timedelta(hours=settings.past_horizon_hours), timedelta(minutes=settings.future_tolerance_minutes)
    return past + retention + future


def _original_if_needed(settings: Settings, closed: timedelta) -> Column:
    """The message as a record for `weather-rejected`; null for an observation that cannot be late.

    An observation is late if its last window ended 10 minutes before the newest observation of its station. That one
    arrived before, and was at most the tolerance in the future. So a late observation arrives at least 10 minutes less
    the tolerance after the end of its last window. If the clock of the broker was set back between them, this may be
    wrong: then the record has no value and counts as truncated (`_without_value`).
    """
    time = F.unix_micros("timestamp")
    last_end = time - F.pmod(time, F.lit(SLIDE // jvm.MICROSECOND)) + F.lit(WINDOW // jvm.MICROSECOND)
    tolerance = timedelta(minutes=settings.future_tolerance_minutes)
    newest_possible = F.unix_micros("arrived") + F.lit((tolerance - WATERMARK) // jvm.MICROSECOND)
    may_be_late = last_end <= F.greatest(newest_possible, F.lit(closed // jvm.MICROSECOND))
    reason = F.coalesce("reason", F.lit(RejectionReason.LATE.value))
    return F.when(F.col("reason").isNotNull() | may_be_late, original_message(reason))


def _records(rows: DataFrame) -> DataFrame:
    is_window = F.col("end").isNotNull()
    original = F.coalesce("original", _without_value())
    return rows.select(
        F.when(is_window, F.lit(FEATURES)).otherwise(F.lit(REJECTED)).alias("topic"),
        F.when(is_window, station_key()).otherwise(original["key"]).alias("key"),
        F.when(is_window, F.col("value")).otherwise(original["value"]).alias("value"),
        F.when(is_window, feature_headers()).otherwise(original["headers"]).alias("headers"),
    )


def _without_value() -> Column:
    """A late observation whose message was not carried through the shuffle."""
    late = F.lit(RejectionReason.LATE.value)
    headers = rejection_headers(late, F.col("topic_partition"), F.col("offset"), truncated=F.col("size"))
    return F.struct(station_key().alias("key"), F.lit(None).cast("binary").alias("value"), headers.alias("headers"))


def _failed(check: str) -> Column:
    """Whether a valid observation failed a check: the bit that `QualityControl.java` sets."""
    bit = 1 << 9 + 2 * CHECKS.index(check)
    return F.col("reason").isNull() & (F.col("qc_flags").bitwiseAND(F.lit(bit)) != 0)
