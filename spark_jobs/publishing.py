"""Window features as records for `weather-features`."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from weatherglass.records import SCHEMA_VERSION

SECONDS = "yyyy-MM-dd'T'HH:mm:ss'Z'"
MILLISECONDS = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"


def feature_records(features: DataFrame) -> DataFrame:
    """The columns `key`, `value` and `headers` of Kafka's sink from the columns of `features.window_features`.

    The JSON is `records.WindowFeatures`: every field there, a missing number as null. Session time zone UTC.
    """
    aggregated = F.col("aggregated_features")
    record = F.struct(
        "station_id",
        _iso(F.col("window_start")).alias("window_start"),
        _iso(F.col("window_end")).alias("window_end"),
        aggregated.withField("last_observation", _iso(aggregated["last_observation"])).alias("aggregated_features"),
    )
    headers = {
        "schema": F.lit(f"window-features/{SCHEMA_VERSION}"),
        "produced_at": F.date_format(F.current_timestamp(), MILLISECONDS),
        "source": F.col("source"),
    }
    return features.select(
        F.encode("station_id", "UTF-8").alias("key"),
        F.encode(F.to_json(record, {"ignoreNullFields": "false"}), "UTF-8").alias("value"),
        F.array_compact(F.array(*(_header(name, text) for name, text in headers.items()))).alias("headers"),
    )


def _header(name: str, text: Column) -> Column:
    pair = F.struct(F.lit(name).alias("key"), F.encode(text, "UTF-8").alias("value"))
    return F.when(text.isNotNull(), pair)


def _iso(time: Column) -> Column:
    """As `records.iso`: whole seconds, or milliseconds where there are any."""
    whole = F.pmod(F.unix_micros(time), F.lit(1_000_000)) == 0
    return F.when(whole, F.date_format(time, SECONDS)).otherwise(F.date_format(time, MILLISECONDS))
