"""From Kafka's bytes to observations, or to the reason why not."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.settings import Settings

LONGEST_HEADER = 100
"""Bytes of a header that is read: ours are shorter, and what is no word of ours is not handed on."""

LONGEST_KEY, LONGEST_VALUE = 10_000, 1_000_000
"""Bytes of a rejected message that are kept: with the headers they fit into what Kafka's producer and the broker take
by default for one record, 1,048,576 and 1,048,588 bytes. A message that its sender compressed may be far longer."""


def parse(messages: DataFrame, settings: Settings, now: datetime | None = None) -> DataFrame:
    """Parse messages of `weather-raw`, strictly: the contract's types or nothing; unknown fields are ignored.

    A variable that is missing or null is null. Times are checked before any watermark can see them, or one clock
    that runs ahead would make everybody late.

    Args:
        messages: columns of Spark's Kafka source, with headers (`includeHeaders`). Stream or batch.
        now: the time that future and past are told from. None takes each message's own Kafka timestamp, which on
            `weather-raw` the broker sets on arrival: so every reading of a message, by whichever query and however
            often, comes to the same verdict.

    Returns:
        `key`, `value`, `topic`, `partition`, `offset` as they came, and `station_id`, `timestamp`, `arrived` (from
        `now`, or the message's own), the five variables (double), `source` and `replayed` (string: the headers), and
        `reason` (string, a `quality.Reason`; null for an observation).
    """
    arrived = F.lit(now) if now else F.col("timestamp")
    found = jvm.parsed(
        F.col("value"),
        F.unix_micros(arrived),
        timedelta(minutes=settings.future_tolerance_minutes),
        timedelta(hours=settings.past_horizon_hours),
    )
    read = messages.select("*", arrived.alias("arrived"), found.alias("found"))
    return read.select(
        "key",
        "value",
        "topic",
        "partition",
        "offset",
        "found.station_id",
        F.timestamp_micros("found.time").alias("timestamp"),
        "arrived",
        *(f"found.{name}" for name in LIMITS),
        _header("source").alias("source"),
        _header("replayed").alias("replayed"),
        "found.reason",
    )


def observations(parsed: DataFrame) -> DataFrame:
    """The messages that are observations, with the columns `features.window_features` takes, and `partition`."""
    return parsed.where("reason is null").select(
        "station_id", "timestamp", "arrived", "partition", "offset", *LIMITS, "source"
    )


def beyond(read: dict[str, int]) -> Column:
    """Whether a message lies at or beyond these offsets (partition -> offset); all do of a partition not named."""
    offsets = F.create_map(*(F.lit(part) for pair in read.items() for part in pair))
    return F.col("offset") >= F.coalesce(offsets[F.col("partition").cast("string")], F.lit(0))


def rejected(parsed: DataFrame) -> DataFrame:
    """The messages with a `reason`, as records for `weather-rejected`: key and value as they came, the rest in headers.

    `replayed` is there where it was sent once more already. Of what is too long for a record only the beginning is
    kept, or the broker would refuse it, and the stream stop at it for ever; the header `truncated` then says how many
    bytes the value had, `truncated_key` how many the key. The whole message lies where the other headers say.
    """
    pairs = {name: F.col(name).cast("string") for name in ("reason", "topic", "partition", "offset", "replayed")}
    pairs |= {"truncated": _length_beyond("value", LONGEST_VALUE), "truncated_key": _length_beyond("key", LONGEST_KEY)}
    return parsed.where("reason is not null").select(
        F.substring("key", 1, LONGEST_KEY).alias("key"),
        F.substring("value", 1, LONGEST_VALUE).alias("value"),
        F.array_compact(F.array(*(_pair(name, text) for name, text in pairs.items()))).alias("headers"),
    )


def _length_beyond(name: str, longest: int) -> Column:
    """How long a binary column is, as text, where it is longer than that; else null."""
    length = F.octet_length(name)
    return F.when(length > longest, length.cast("string"))


def _pair(name: str, text: Column) -> Column:
    pair = F.struct(F.lit(name).alias("key"), F.encode(text, "UTF-8").alias("value"))
    return F.when(text.isNotNull(), pair)


def _header(name: str) -> Column:
    """A header's text; null where there is none or its bytes are no text, or more than we would write.

    By position: a function that takes a lambda would keep the parsing of a batch job out of Spark's generated code.
    """
    place = F.array_position(F.col("headers.key"), name) - 1
    found = F.get(F.col("headers.value"), place.cast("int")).cast("string")
    return F.when(F.is_valid_utf8(found) & (F.octet_length(found) <= LONGEST_HEADER), found)
