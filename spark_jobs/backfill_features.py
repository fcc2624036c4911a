"""Window features of the past, by batch: what came too late for the stream, such as a station's gap filled hours later.

Run by spark-submit with the configuration of `spark_conf.batch_conf`; settings come from the environment. Reads
`weather-raw`, which keeps the observations that the stream called late, through the stream's own functions, and
publishes whole windows to `weather-features`, where the last record of a window counts. Only windows that the stream
has closed are touched, so the two never write the same one.
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
from spark_jobs.station_rules import station_rules
from spark_jobs.window_features import window_features
from weatherglass.history.hours import WINDOW
from weatherglass.records import iso
from weatherglass.settings import Settings, load_settings
from weatherglass.topics import FEATURES, RAW


class BackfillError(ValueError):
    """There is nothing that may be filled in; the message says why."""


def backfill(spark: SparkSession, settings: Settings, stations: list[str], since: datetime, until: datetime) -> int:
    """Publish the windows that end in (since, until]; how many.

    Args:
        stations: which; none is all.
        until: no later than the stream's watermark, else that is taken.

    Raises:
        BackfillError: the stream has closed no window yet, or none after `since`.
    """
    folder = settings.jobs_dir / "stream_features"
    newest = last_batch(folder / "checkpoint" / "features")
    closed = datetime.fromtimestamp(newest.watermark / 1000, UTC) if newest else None
    if closed is None or closed <= since:
        raise BackfillError(
            f"the features job has closed no window after {iso(since)}"
            f"{f', its watermark is {iso(closed)}' if closed else ''}: what comes now is taken by the stream itself"
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
    windows = window_features(rows, station_rules(settings, folder)).where(
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
    parser = argparse.ArgumentParser(description="Window features of the past to weather-features.")
    parser.add_argument("--stations", default="", help="ids with commas between; none: all")
    parser.add_argument("--since", type=datetime.fromisoformat, required=True)
    parser.add_argument("--until", type=datetime.fromisoformat, required=True)
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = load_settings()
    spark = SparkSession.builder.appName("weatherglass backfill").getOrCreate()
    stations = [name for name in chosen.stations.split(",") if name]
    try:
        count = backfill(spark, settings, stations, chosen.since.astimezone(UTC), chosen.until.astimezone(UTC))
        print(f"{count} windows published", flush=True)
    except BackfillError as error:
        print(f"nothing was filled in: {error}", file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
