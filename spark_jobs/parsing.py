"""From Kafka's bytes to observations, or to the reason why not."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from weatherglass.quality import LIMITS, Reason
from weatherglass.settings import Settings

ISO_TIME = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?"
ZONE = r"(Z|[+-]\d{2}:\d{2})$"
NOT_FINITE = r"[:,\[\s][+-]?(NaN|Infinity|Inf)\s*[,\]}]"

NUMBERS = "^(BIGINT|DECIMAL.*|DOUBLE|FLOAT)$"
"""Types that a JSON number can have once parsed."""

MAX_STATION_ID = 100


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
        `key`, `value`, `topic`, `partition`, `offset` as they came, and `station_id`, `timestamp`, the five variables
        (double), `source` (string: the header), and `reason` (string, a `quality.Reason`; null for an observation).
    """
    text = F.when(F.is_valid_utf8(F.col("value").cast("string")), F.col("value").cast("string"))
    # Spark reads the first JSON value of a text and overlooks what follows; as the only element of an array it cannot.
    parsed = F.try_parse_json(F.concat(F.lit("["), F.col("text"), F.lit("]")))
    json = F.when(F.try_variant_get(parsed, "$[1]", "variant").isNull(), F.try_variant_get(parsed, "$[0]", "variant"))
    fields = {name: F.try_variant_get("json", f"$.{name}", "variant") for name in ("station_id", "timestamp", *LIMITS)}
    typed = (
        messages.select("key", "value", "topic", "partition", "offset", "headers", F.col("timestamp").alias("arrived"))
        .withColumn("text", text)
        .withColumn("json", json)
        .select("*", *(F.schema_of_variant(field).alias(f"{name}_type") for name, field in fields.items()))
        .withColumn("station_id", F.try_variant_get("json", "$.station_id", "string"))
        .withColumn("time", F.try_variant_get("json", "$.timestamp", "string"))
        .withColumn("timestamp", F.try_to_timestamp("time"))
        .withColumns({name: F.try_variant_get("json", f"$.{name}", "double") for name in LIMITS})
    )
    reference = F.lit(now) if now else F.col("arrived")
    return typed.select(
        "key",
        "value",
        "topic",
        "partition",
        "offset",
        "station_id",
        "timestamp",
        *LIMITS,
        _source().alias("source"),
        _reason(settings, reference).alias("reason"),
    )


def observations(parsed: DataFrame) -> DataFrame:
    """The messages that are observations, with the columns `features.window_features` takes."""
    return parsed.where("reason is null").select("station_id", "timestamp", "offset", *LIMITS, "source")


def rejected(parsed: DataFrame) -> DataFrame:
    """The messages with a `reason`, as records for `weather-rejected`: key and value untouched, the rest in headers."""
    pairs = {name: F.col(name).cast("string") for name in ("reason", "topic", "partition", "offset")}
    return parsed.where("reason is not null").select(
        "key",
        "value",
        F.array(
            *(
                F.struct(F.lit(name).alias("key"), F.encode(text, "UTF-8").alias("value"))
                for name, text in pairs.items()
            )
        ).alias("headers"),
    )


def _source() -> Column:
    """The header `source`; null where there is none or its bytes are no text."""
    found = F.get(F.filter("headers", lambda header: header["key"] == "source"), F.lit(0))["value"].cast("string")
    return F.when(F.is_valid_utf8(found), found)


def _absent(name: str) -> Column:
    return F.col(f"{name}_type").isNull() | (F.col(f"{name}_type") == "VOID")


def _reason(settings: Settings, reference: Column) -> Column:
    """The first thing that is wrong with a message, from the bytes up to the meaning; null if nothing is."""
    json, time, timestamp = F.col("json"), F.col("time"), F.col("timestamp")
    wrong_number = [~_absent(name) & ~F.col(f"{name}_type").rlike(NUMBERS) for name in LIMITS]
    wrong_string = [~_absent(name) & (F.col(f"{name}_type") != "STRING") for name in ("station_id", "timestamp")]
    infinite = [F.coalesce(F.abs(F.col(name)) == float("inf"), F.lit(False)) for name in LIMITS]
    ahead = F.lit(int(settings.future_tolerance_minutes * 60_000_000))
    behind = F.lit(int(settings.past_horizon_hours * 3_600_000_000))
    age = F.unix_micros(reference) - F.unix_micros(timestamp)
    rules = {
        Reason.EMPTY: F.col("value").isNull() | (F.length("value") == 0),
        Reason.NOT_UTF8: F.col("text").isNull(),
        Reason.NOT_FINITE: (json.isNull() & F.col("text").rlike(NOT_FINITE)) | _any(infinite),
        Reason.MALFORMED_JSON: json.isNull(),
        Reason.WRONG_TYPE: ~F.schema_of_variant("json").startswith("OBJECT") | _any(wrong_number + wrong_string),
        Reason.MISSING_STATION: _absent("station_id"),
        Reason.BAD_STATION: ~F.length("station_id").between(1, MAX_STATION_ID),
        Reason.MISSING_TIME: _absent("timestamp"),
        Reason.NO_ZONE: time.rlike(f"{ISO_TIME}$"),
        Reason.BAD_TIME: ~time.rlike(ISO_TIME + ZONE) | timestamp.isNull(),
        Reason.FUTURE: age < -ahead,
        Reason.PAST: age > behind,
    }
    reason: Any = F
    for name, rule in rules.items():
        reason = reason.when(rule, F.lit(name.value))
    return cast(Column, reason)


def _any(conditions: list[Column]) -> Column:
    found = conditions[0]
    for condition in conditions[1:]:
        found = found | condition
    return found
