"""Kafka records: headers, and window features as records for `weather-features`."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from weatherglass.record_headers import SCHEMA_VERSION

TIME_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"


def feature_records(features: DataFrame) -> DataFrame:
    """The columns `key`, `value` and `headers` of Spark's Kafka sink, from the columns of `window_features`.

    The time zone of the session must be UTC.
    """
    return features.select(station_key().alias("key"), "value", feature_headers().alias("headers"))


def station_key() -> Column:
    return F.encode("station_id", "UTF-8")


def feature_headers() -> Column:
    """Headers of a record on `weather-features`, with the `source` of the window."""
    return record_headers(
        {
            "schema": F.lit(f"window-features/{SCHEMA_VERSION}"),
            "produced_at": F.date_format(F.current_timestamp(), TIME_FORMAT),
            "source": F.col("source"),
        }
    )


def record_headers(texts: dict[str, Column]) -> Column:
    """The headers column of Spark's Kafka sink: the texts that are not null."""
    return F.array_compact(F.array(*(_header(name, text) for name, text in texts.items())))


def _header(name: str, text: Column) -> Column:
    pair = F.struct(F.lit(name).alias("key"), F.encode(text, "UTF-8").alias("value"))
    return F.when(text.isNotNull(), pair)
