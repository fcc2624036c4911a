"""A features job with state of the first format: Spark's built-in windows that collect their rows (ADR 2).

Run by spark-submit; it reads all available messages in one batch and ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_jobs.feature_records import feature_records
from spark_jobs.parsing import observations, parse
from spark_jobs.qc_parameters import load_qc_parameters
from spark_jobs.stream_features import raw_messages
from spark_jobs.window_features import window_features
from weatherglass.settings import load_settings
from weatherglass.topics import FEATURES


def main(folder: Path) -> None:
    settings = load_settings()
    spark = SparkSession.builder.appName("older").getOrCreate()
    rows = observations(parse(raw_messages(spark, settings), settings))
    collected = (
        rows.withWatermark("timestamp", "10 minutes")
        .groupBy("station_id", F.window("timestamp", "5 minutes", "1 minute"))
        .agg(F.collect_list(F.struct(*rows.columns)).alias("rows"))
        .withColumn("window_end", F.col("window.end"))
    )
    parameters = load_qc_parameters(settings, folder)

    def send(changed: DataFrame, _: int) -> None:
        changed.persist()
        distinct = changed.select(F.explode("rows").alias("row")).select("row.*").distinct()
        features = window_features(distinct, parameters).join(changed, ["station_id", "window_end"], "left_semi")
        records = feature_records(features).write.format("kafka")
        records.option("kafka.bootstrap.servers", settings.bootstrap_servers).option("topic", FEATURES).save()
        changed.unpersist()

    query = (
        collected.writeStream.outputMode("update")
        .queryName("features")
        .option("checkpointLocation", str(folder / "checkpoint" / "features"))
        .trigger(availableNow=True)
        .foreachBatch(send)
        .start()
    )
    query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
