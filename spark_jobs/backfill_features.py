"""Batch job for window features of the past, for example of a gap that a station filled hours later.

Run by spark-submit with the configuration of `spark_conf.batch_conf`; settings come from the environment. It reads
`weather-raw`, which also contains the observations that were too late for the stream, uses the same functions as the
stream, and publishes complete windows to `weather-features`, where the last record of a window counts. It computes only
windows that the stream has closed for their station, so that both never publish the same window.
"""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import UTC, datetime

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.batches import last_batch
from spark_jobs.checkpoint_migration import CheckpointMigration
from spark_jobs.feature_records import feature_records
from spark_jobs.parsing import at_or_beyond, observations, parse
from spark_jobs.qc_parameters import load_qc_parameters
from spark_jobs.stream_features import QUERY
from spark_jobs.window_features import window_features
from weatherglass.formatting import count_noun
from weatherglass.history.hours import WATERMARK, WINDOW
from weatherglass.kafka_connection import spark_options
from weatherglass.settings import Settings, load_settings

NO_LOWER_BOUND = datetime(1970, 1, 1, tzinfo=UTC)
NO_UPPER_BOUND = datetime(9999, 1, 1, tzinfo=UTC)


class BackfillError(ValueError):
    """No window can be computed; the message gives the reason."""


def backfill(spark: SparkSession, settings: Settings, stations: list[str], since: datetime, until: datetime) -> int:
    """Publish the windows that end in (since, until]; both in UTC.

    Args:
        stations: ids; an empty list means all stations.
        until: windows that the stream has not closed for their station are left out.

    Returns:
        The number of published windows.

    Raises:
        BackfillError: the stream has not read any message.
    """
    folder = settings.jobs_dir / "stream_features"
    checkpoint = folder / "checkpoint"
    newest, migration = last_batch(checkpoint / QUERY), CheckpointMigration.load(checkpoint)
    if newest is None:
        raise BackfillError("The features job has not finished any batch: it computes all windows itself")
    messages = (
        spark.read.format("kafka")
        .options(**spark_options(settings))
        .option("subscribe", settings.topics.raw)
        .option("includeHeaders", "true")
        .load()
    )
    parsed = parse(messages, settings)
    if stations:
        parsed = parsed.where(F.col("station_id").isin(stations))
    read = parsed.where(~at_or_beyond(newest.end[settings.topics.raw], "partition"))
    for_all = F.lit(datetime.fromtimestamp(migration.closed_until / 1000 if migration else 0, UTC))
    closed = F.greatest(F.max("timestamp") - F.lit(WATERMARK), for_all).alias("closed")
    rows = observations(parsed).where(F.col("timestamp").between(since - WINDOW, until))
    windows = (
        window_features(rows, load_qc_parameters(settings, folder))
        .where((F.col("window_end") > since) & (F.col("window_end") <= until))
        .join(F.broadcast(observations(read).groupBy("station_id").agg(closed)), "station_id")
        .where(F.col("window_end") <= F.col("closed"))
    )
    records = feature_records(windows).cache()
    try:
        records.write.format("kafka").options(**spark_options(settings)).option(
            "topic", settings.topics.features
        ).save()
        return records.count()
    finally:
        records.unpersist()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Publish window features of the past to weather-features.")
    parser.add_argument("--stations", default="", help="comma-separated station ids (default: all stations)")
    parser.add_argument("--since", type=datetime.fromisoformat, default=NO_LOWER_BOUND, help="ISO 8601, exclusive")
    parser.add_argument("--until", type=datetime.fromisoformat, default=NO_UPPER_BOUND, help="ISO 8601, inclusive")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = load_settings()
    spark = SparkSession.builder.appName("weatherglass backfill").getOrCreate()
    stations = [name for name in options.stations.split(",") if name]
    try:
        count = backfill(spark, settings, stations, options.since.astimezone(UTC), options.until.astimezone(UTC))
        print(f"Published {count_noun(count, 'window')}", flush=True)
    except BackfillError as error:
        print(f"Backfill failed: {error}", file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
