"""The same statistics with other Spark plans, for comparison with the panes of the job; run by spark-submit.

    feature_plans.py PLAN FOLDER

- `sliding`: built-in sliding windows with running sums; counts duplicates twice and does not apply revisions.
- `collected`: built-in sliding windows that collect their rows and keep the last of each time; applies revisions.

Each reads all of `weather-raw`, writes `weather-features`, and ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.parsing import observations, parse
from spark_jobs.stream_features import raw_messages
from weatherglass.records import VARIABLES
from weatherglass.settings import load_settings


def _window() -> Column:
    return F.window("timestamp", "5 minutes", "1 minute")


def sliding(rows: DataFrame) -> DataFrame:
    time = F.unix_micros("timestamp") / 1e6
    return (
        rows.withWatermark("timestamp", "10 minutes")
        .groupBy("station_id", _window())
        .agg(F.count("*").alias("count"), *(_sums(F.col(name), time).alias(name) for name in VARIABLES))
    )


def _sums(value: Column, time: Column) -> Column:
    slope = F.regr_slope(value, time)
    return F.struct(F.avg(value), F.stddev_samp(value), F.min(value), F.max(value), F.max_by(value, time), slope)


def collected(rows: DataFrame) -> DataFrame:
    row = F.struct("timestamp", "offset", *VARIABLES)
    kept = F.filter(
        F.col("rows"), lambda row, i: ~row["timestamp"].eqNullSafe(F.get(F.col("rows"), i + 1)["timestamp"])
    )
    windows = (
        rows.withWatermark("timestamp", "10 minutes")
        .groupBy("station_id", _window())
        .agg(F.sort_array(F.collect_list(row)).alias("rows"))
        .withColumn("rows", kept)
    )
    return windows.select("station_id", "window", F.size("rows"), *(_aggregate(name).alias(name) for name in VARIABLES))


def _aggregate(name: str) -> Column:
    zero = F.struct(*(F.lit(0.0).alias(key) for key in ("n", "x", "y", "xx", "xy", "yy", "min", "max")))

    def add(sums: Column, row: Column) -> Column:
        x, y = F.unix_micros(row["timestamp"]) / 1e6 - 1.7e9, row[name]
        added = {"n": F.lit(1.0), "x": x, "y": y, "xx": x * x, "xy": x * y, "yy": y * y}
        extremes = (F.least(sums["min"], y).alias("min"), F.greatest(sums["max"], y).alias("max"))
        return F.struct(*((sums[key] + value).alias(key) for key, value in added.items()), *extremes)

    return F.aggregate("rows", zero, add)


def main(plan: str, folder: Path) -> None:
    settings = load_settings()
    spark = SparkSession.builder.appName(plan).getOrCreate()
    rows = observations(parse(raw_messages(spark, settings), settings))
    # These plans compute Spark columns, which are slow without generated code.
    spark.conf.set("spark.sql.codegen.factoryMode", "FALLBACK")
    windows = {"sliding": sliding, "collected": collected}[plan](rows)
    records = windows.select(F.encode("station_id", "UTF-8").alias("key"), F.to_json(F.struct("*")).alias("value"))
    query = (
        records.writeStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.bootstrap_servers)
        .option("topic", settings.topics.features)
        .option("checkpointLocation", str(folder / "checkpoint"))
        .outputMode("update")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    (folder / "progress.json").write_text(query.lastProgress.json, encoding="utf-8")  # type: ignore[union-attr]
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
