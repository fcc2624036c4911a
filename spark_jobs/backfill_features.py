"""Batch job for window features of the past, for example of a gap that a station filled hours later.

Run by spark-submit with the configuration of `spark_conf.batch_conf`; settings come from the environment. It reads
`weather-raw`, which also contains the observations that were too late for the stream, uses the same functions as the
stream, and publishes complete windows to `weather-features`, where the last record of a window counts. It computes only
windows that the stream has closed, so that both never publish the same window.
"""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import UTC, datetime

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.batches import last_batch
from spark_jobs.feature_records import feature_records
from spark_jobs.parsing import observations, parse
from spark_jobs.qc_parameters import load_qc_parameters
from spark_jobs.window_features import window_features
from weatherglass.formatting import count_noun
from weatherglass.history.hours import WINDOW
from weatherglass.records import iso
from weatherglass.settings import Settings, load_settings
from weatherglass.topics import FEATURES, RAW

NO_LOWER_BOUND = datetime(1970, 1, 1, tzinfo=UTC)
NO_UPPER_BOUND = datetime(9999, 1, 1, tzinfo=UTC)


class BackfillError(ValueError):
    """No window of the requested period can be computed; the message gives the reason."""


def backfill(spark: SparkSession, settings: Settings, stations: list[str], since: datetime, until: datetime) -> int:
    """Publish the windows that end in (since, until]; both in UTC.

    Args:
        stations: ids; an empty list means all stations.
        until: limited to the watermark of the stream.

    Returns:
        The number of published windows.

    Raises:
        BackfillError: the stream has not closed any window after `since`.
    """
    folder = settings.jobs_dir / "stream_features"
    newest = last_batch(folder / "checkpoint" / "features")
    closed = datetime.fromtimestamp(newest.watermark / 1000, UTC) if newest else None
    if closed is None or closed <= since:
        raise BackfillError(
            f"The features job has not closed any window after {iso(since)}"
            f"{f' (watermark {iso(closed)})' if closed else ''}: the stream computes these windows itself"
        )
    until = min(until, closed)
    messages = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", settings.bootstrap_servers)
        .option("subscribe", RAW)
        .option("includeHeaders", "true")
        .load()
    )
    rows = observations(parse(messages, settings)).where(F.col("timestamp").between(since - WINDOW, until))
    if stations:
        rows = rows.where(F.col("station_id").isin(stations))
    windows = window_features(rows, load_qc_parameters(settings, folder)).where(
        (F.col("window_end") > since) & (F.col("window_end") <= until)
    )
    records = feature_records(windows).cache()
    try:
        records.write.format("kafka").option("kafka.bootstrap.servers", settings.bootstrap_servers).option(
            "topic", FEATURES
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
