"""Parses Kafka messages into observations, or gives the reason why a message is rejected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.settings import Settings

MAX_HEADER_BYTES = 100
"""Longer headers are ignored: those of this project are shorter."""


def parse(messages: DataFrame, settings: Settings, now: datetime | None = None) -> DataFrame:
    """Parse messages of `weather-raw` strictly: types as in the record schema; unknown fields are ignored.

    A missing variable is null.

    Args:
        messages: columns of Spark's Kafka source, with headers (`includeHeaders`). Stream or batch.
        now: reference time of the checks for future and past. None uses the Kafka timestamp of each message, which the
            broker sets on arrival: so every read of a message, by any query, gives the same result.

    Returns:
        `partition`, `offset` unchanged, and `station_id`, `timestamp`, `arrived` (`now` or the timestamp of the
        message), the five variables (double), `source` (string, from the headers), and `reason` (string, an
        `observation_checks.RejectionReason`; null for an observation).
    """
    arrived = F.lit(now) if now else F.col("timestamp")
    parsed = jvm.parsed(F.col("value"), F.unix_micros(arrived), *accepted_times(settings))
    with_parsed = messages.select("*", arrived.alias("arrived"), parsed.alias("parsed"))
    return with_parsed.select(
        "partition",
        "offset",
        "parsed.station_id",
        F.timestamp_micros("parsed.time").alias("timestamp"),
        "arrived",
        *(f"parsed.{name}" for name in RANGE_LIMITS),
        header_text("source").alias("source"),
        "parsed.reason",
    )


def accepted_times(settings: Settings) -> tuple[timedelta, timedelta]:
    """How far an observation may lie after and before its arrival."""
    return timedelta(minutes=settings.future_tolerance_minutes), timedelta(hours=settings.past_horizon_hours)


def observations(parsed: DataFrame) -> DataFrame:
    """The valid observations, with the input columns of `window_features`."""
    return parsed.where("reason is null").select(
        "station_id", "timestamp", "arrived", "offset", *RANGE_LIMITS, "source"
    )


def at_or_beyond(offsets: Mapping[str, int], partition: str) -> Column:
    """Whether a message lies at or beyond the offset of its partition; true for a partition without offset.

    Args:
        partition: column with the partition of the message.
    """
    if not offsets:
        return F.lit(True)
    by_partition = F.create_map(*(F.lit(item) for pair in offsets.items() for item in pair))
    return F.col("offset") >= F.coalesce(by_partition[F.col(partition).cast("string")], F.lit(0))


def header_text(name: str) -> Column:
    """The text of a header; null if it is missing, is not valid UTF-8, or exceeds `MAX_HEADER_BYTES`."""
    return jvm.header_text(F.col("headers"), name, MAX_HEADER_BYTES)
