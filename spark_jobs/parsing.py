"""Parses Kafka messages into observations, or gives the reason why a message is rejected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from spark_jobs.feature_records import record_headers
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.settings import Settings
from weatherglass.topics import (
    MAX_REJECTED_KEY_BYTES,
    MAX_REJECTED_VALUE_BYTES,
    RAW,
    TRUNCATED_HEADER,
    TRUNCATED_KEY_HEADER,
)

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
        `key`, `value`, `partition`, `offset` unchanged, and `station_id`, `timestamp`, `arrived` (`now` or the
        timestamp of the message), the five variables (double), `source` and `replayed` (string, from the headers), and
        `reason` (string, an `observation_checks.RejectionReason`; null for an observation).
    """
    arrived = F.lit(now) if now else F.col("timestamp")
    parsed = jvm.parsed(
        F.col("value"),
        F.unix_micros(arrived),
        timedelta(minutes=settings.future_tolerance_minutes),
        timedelta(hours=settings.past_horizon_hours),
    )
    with_parsed = messages.select("*", arrived.alias("arrived"), parsed.alias("parsed"))
    return with_parsed.select(
        "key",
        "value",
        "partition",
        "offset",
        "parsed.station_id",
        F.timestamp_micros("parsed.time").alias("timestamp"),
        "arrived",
        *(f"parsed.{name}" for name in RANGE_LIMITS),
        _header_text("source").alias("source"),
        _header_text("replayed").alias("replayed"),
        "parsed.reason",
    )


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


def original_message(reason: Column) -> Column:
    """The message as a record for `weather-rejected`: a struct of `key` and `value`, unchanged, and `headers`.

    The header `replayed` is kept if the message was sent again before. A key or value that is too long is truncated,
    since the broker would refuse the record and the query would fail repeatedly. Then the header `truncated` gives the
    original size of the value in bytes, and `truncated_key` that of the key. The other headers give topic, partition
    and offset of the complete message.
    """
    headers = rejection_headers(
        reason,
        F.col("partition"),
        F.col("offset"),
        replayed=F.col("replayed"),
        **{
            TRUNCATED_HEADER: _size_if_beyond("value", MAX_REJECTED_VALUE_BYTES),
            TRUNCATED_KEY_HEADER: _size_if_beyond("key", MAX_REJECTED_KEY_BYTES),
        },
    )
    return F.struct(
        F.substring("key", 1, MAX_REJECTED_KEY_BYTES).alias("key"),
        F.substring("value", 1, MAX_REJECTED_VALUE_BYTES).alias("value"),
        headers.alias("headers"),
    )


def rejection_headers(reason: Column, partition: Column, offset: Column, **more: Column) -> Column:
    """Headers of a record on `weather-rejected`: those that are not null, as text."""
    texts = {"reason": reason, "topic": F.lit(RAW), "partition": partition, "offset": offset, **more}
    return record_headers({name: text.cast("string") for name, text in texts.items()})


def _size_if_beyond(name: str, longest: int) -> Column:
    """The size of a binary column in bytes, as text, if it exceeds `longest`; otherwise null."""
    length = F.octet_length(name)
    return F.when(length > longest, length.cast("string"))


def _header_text(name: str) -> Column:
    """The text of a header; null if it is missing, is not valid UTF-8, or exceeds `MAX_HEADER_BYTES`.

    Reads by position: a higher-order function would exclude the parsing of a batch job from Spark's generated code.
    """
    position = F.array_position(F.col("headers.key"), name) - 1
    text = F.get(F.col("headers.value"), position.cast("int")).cast("string")
    return F.when(F.is_valid_utf8(text) & (F.octet_length(text) <= MAX_HEADER_BYTES), text)
