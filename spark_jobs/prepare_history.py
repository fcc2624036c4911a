"""Prepare hourly history: a source's observations as tidy Parquet in the history folder, checked and counted.

Run by spark-submit with the configuration of `weatherglass.spark.batch_conf`; settings come from the environment.
What the folder holds is said in `weatherglass.history`. It is written beside and put in place in one step, so a
reader sees the old history or the new, and a preparation that fails leaves the old one.

A value outside its physical range (`weatherglass.quality`) becomes missing; an hour left without any value is left
out. Nothing else is mended: Kaggle's pressures, for one, change between that of the sea and that of the station.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from weatherglass.history import HISTORY_COLUMNS, Manifest, read_manifest, write_manifest, write_stations
from weatherglass.quality import LIMITS
from weatherglass.settings import Settings, load_settings
from weatherglass.sources import SourceError, kaggle, nycflights13
from weatherglass.stations import Network, Station, network

SOURCES = ("nycflights13", "kaggle", "open-meteo")

VERSION = "1"
"""Part of the fingerprint: another number makes history be prepared again from the same source."""


@dataclass(frozen=True)
class Raw:
    """What a source brings: its files (for the fingerprint) and how to read them, columns `HISTORY_COLUMNS`."""

    files: Sequence[Path]
    read: Callable[[SparkSession], tuple[DataFrame, tuple[Station, ...]]]


def prepare(spark: SparkSession, settings: Settings, source: str, say: Callable[[str], object]) -> Manifest:
    """Make `settings.history_dir` hold the history of a source; does nothing if it does already.

    Raises:
        SourceError: the source's file is missing, damaged or not the known one.
    """
    raw = _raw(settings, source)
    fingerprint = _fingerprint(source, raw.files)
    present = read_manifest(settings.history_dir)
    if present and present.fingerprint == fingerprint:
        say(f"{settings.history_dir} holds this history of {source} already: {_in_words(present)}")
        return present
    observed, stations = raw.read(spark)
    unfinished = settings.history_dir.with_name(f"{settings.history_dir.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        manifest = _write(observed, stations, unfinished, source, fingerprint, say)
        _put_in_place(unfinished, settings.history_dir)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    say(f"{settings.history_dir} holds {_in_words(manifest)}")
    return manifest


def checked(observed: DataFrame) -> DataFrame:
    """The rows with every value outside its physical range, or NaN, made null; rows without any value left out."""
    within = {
        name: F.when(F.col(name).between(limits.low, limits.high), F.col(name)).alias(name)
        for name, limits in LIMITS.items()
    }
    kept = observed.select(*(within.get(name, F.col(name)) for name in HISTORY_COLUMNS))
    return kept.dropna(how="all", subset=list(LIMITS))


def _write(
    observed: DataFrame,
    stations: tuple[Station, ...],
    folder: Path,
    source: str,
    fingerprint: str,
    say: Callable[[str], object],
) -> Manifest:
    observed = observed.cache()
    impossible = observed.agg(
        F.count(F.lit(1)).alias("hours"),
        *(F.count_if(~F.col(name).between(limits.low, limits.high)).alias(name) for name, limits in LIMITS.items()),
    ).first()
    assert impossible is not None
    say(f"{impossible['hours']:,} hours read from {source}")
    for name, limits in LIMITS.items():
        if count := impossible[name]:
            say(f"{name}: {count:,} values outside {limits.low:g} to {limits.high:g} left out")
    table = checked(observed).withColumn("year", F.year("hour"))
    folder.mkdir(parents=True)
    (
        table.repartition("year")
        .sortWithinPartitions("station_id", "hour")
        .write.partitionBy("year")
        .parquet(str(folder / "observations"))
    )
    written = table.agg(F.count(F.lit(1)), F.countDistinct("station_id"), _hour(F.min), _hour(F.max)).first()
    observed.unpersist()
    if written is None or not written[0]:
        raise SourceError(f"{source} holds no usable observation")
    rows, observed_stations, first, last = written
    manifest = Manifest(source, fingerprint, first, last, rows, observed_stations)
    write_stations(folder, stations)
    write_manifest(folder, manifest)
    return manifest


def _hour(function: Callable[[str], Column]) -> Column:
    return F.date_format(function("hour"), "yyyy-MM-dd'T'HH:mm:ss'Z'")


def _put_in_place(folder: Path, target: Path) -> None:
    """Folders cannot be exchanged in one call, so for an instant there may be no history, but never half of one."""
    replaced = target.with_name(f"{target.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if target.exists():
        target.rename(replaced)
    folder.rename(target)
    shutil.rmtree(replaced, ignore_errors=True)


def _raw(settings: Settings, source: str) -> Raw:
    if source == "nycflights13":
        file = nycflights13.weather_csv()
        return Raw([file], lambda spark: (_frame(spark, nycflights13.read_nycflights13(file)), nycflights13.stations()))
    if source == "kaggle":
        if settings.kaggle_zip is None:
            raise SourceError("WEATHERGLASS_KAGGLE_ZIP is not set: it names the zip that the history is read from")
        return Raw([settings.kaggle_zip], lambda spark: _kaggle(spark, settings.kaggle_zip))
    files = sorted(settings.archive_dir.glob("*.parquet"))
    if not files:
        raise SourceError(f"no archive in {settings.archive_dir}: the task `fetch` of prepare_history brings it")
    return Raw(files, lambda spark: (_archive(spark, files), network(Network.LIVE)))


def _kaggle(spark: SparkSession, zip_path: Path | None) -> tuple[DataFrame, tuple[Station, ...]]:
    assert zip_path is not None
    table, stations = kaggle.read_kaggle(zip_path)
    return _frame(spark, table), stations


def _archive(spark: SparkSession, files: Sequence[Path]) -> DataFrame:
    return _frame(spark, pd.concat([pd.read_parquet(file) for file in files], ignore_index=True))


def _frame(spark: SparkSession, table: pd.DataFrame) -> DataFrame:
    """A table with the columns of `HISTORY_COLUMNS` in Spark, through Arrow; NaN becomes null."""
    numbers = ", ".join(f"{name} double" for name in LIMITS)
    table = table[list(HISTORY_COLUMNS)].astype(dict.fromkeys(LIMITS, "float64"))
    table["hour"] = table["hour"].dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return spark.createDataFrame(table, f"station_id string, hour timestamp, {numbers}, source string")


def _fingerprint(source: str, files: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{source} {VERSION} {sorted(LIMITS.items())}".encode())
    for path in files:
        digest.update(path.name.encode())
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error}") from error
    return digest.hexdigest()


def _in_words(manifest: Manifest) -> str:
    return f"{manifest.rows:,} hours of {manifest.stations} stations, {manifest.first_hour} to {manifest.last_hour}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Prepare the hourly history of a source.")
    parser.add_argument("--source", choices=SOURCES, required=True)
    source = parser.parse_args(arguments).source
    settings = load_settings()
    spark = SparkSession.builder.appName("weatherglass history").getOrCreate()
    try:
        prepare(spark, settings, source, lambda words: print(words, flush=True))
    except SourceError as error:
        print(f"history cannot be prepared: {error}", file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
