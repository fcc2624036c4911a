"""Publishes the readings in files of own stations, and files the files away with a report.

A file is CSV or another text file with a header, Parquet, or a copy of weewx's archive database. What cannot be used of
it is named in the report with its line; the rest is published. A file is processed again if its processing was
interrupted: publishing an observation again is harmless (`producer.own_stations`), and the file leaves the watched
folder last.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from math import isnan
from pathlib import Path
from typing import Any

from producer.incoming import DONE, FAILED, REPORT_SUFFIX, FileState
from producer.mappings import FileMapping, MappingError, read_mappings
from producer.own_stations import OwnStationPublisher, check_records
from producer.publish import PublishError
from producer.weewx import is_sqlite, read_weewx
from weatherglass.files import write_atomically
from weatherglass.formatting import count_noun
from weatherglass.history.sources.refusal import Refusal, RefusalCode, RefusedError
from weatherglass.history.sources.series_file import DIRECTION, Statements, read_network
from weatherglass.history.sources.units import DECIMALS
from weatherglass.qc.observation_checks import RejectionReason
from weatherglass.records import VARIABLES, Observation, iso
from weatherglass.settings import Settings
from weatherglass.stations import StationsError

VALUES = (*VARIABLES, DIRECTION, "wind_gust")
BATCH = 1_000
"""Observations that are published together."""
MAX_UNREADABLE = 0.5
"""A file of few lines must not be refused for one bad line; if most are bad, it is probably another kind of file."""

Log = Callable[[str], object]


@dataclass(frozen=True)
class FileProblem:
    """What is not used of a file, and why.

    Attributes:
        lines: numbers and ranges such as `2, 5-9`: lines of a text file, rows of Parquet and of weewx's archive in the
            order of time; the first is 1. Empty if it is not about lines.
    """

    code: str
    column: str | None
    count: int
    lines: str
    detail: str


@dataclass(frozen=True)
class FileReport:
    """What became of a file: the JSON object in the report next to it.

    Attributes:
        result: `done`, or `failed` if nothing of it was published.
        stations: id -> number of published observations.
        columns: field of a record -> how its column was read.
    """

    file: str
    processed_at: str
    result: str
    published: int
    stations: dict[str, int]
    columns: dict[str, str]
    unused_columns: tuple[str, ...]
    problems: tuple[FileProblem, ...]


@dataclass
class _Readings:
    """Records as JSON objects with their lines, and what could not be read."""

    records: list[dict[str, Any]]
    lines: list[int]
    columns: dict[str, str] = field(default_factory=dict)
    unused_columns: tuple[str, ...] = ()
    problems: list[FileProblem] = field(default_factory=list)


def import_file(
    path: Path, settings: Settings, publisher: OwnStationPublisher, now: datetime, log: Log
) -> FileReport | None:
    """Process one file of the watched folder.

    Args:
        now: UTC.

    Returns:
        The report; None if there is no such file any more, or if it was changed meanwhile and stays where it is.

    Raises:
        PublishError: the broker did not acknowledge all observations; process the file again.
        StationsError: the station table cannot be used.
        OSError: the file cannot be moved, or the report not written.
    """
    state = FileState.of(path)
    if state is None:
        return None
    if not os.access(path.parent, os.W_OK):  # before its observations are published, again and again
        raise PermissionError(f"{path} cannot be moved: {path.parent} is not writable")
    report = _process(path, settings, publisher, now)
    if FileState.of(path) != state:
        log(f"WARNING: {path.name} changed while it was processed, and will be processed again")
        return None
    target = _file_away(path, settings.incoming_folder, report)
    log(f"{path.name}: {count_noun(report.published, 'observation')} published; now {target}")
    for problem in report.problems:
        where = f", line {problem.lines}" if problem.lines else ""
        log(f"WARNING: {path.name}: {problem.code} ({problem.count}){where}: {problem.detail}")
    return report


def _process(path: Path, settings: Settings, publisher: OwnStationPublisher, now: datetime) -> FileReport:
    readings = _Readings([], [])
    published: list[Observation] = []
    try:
        readings = _read(path, settings, now)
        checked = check_records(readings.records, settings, now)
        grouped: dict[tuple[str, str | None, str | None], list[tuple[int, str]]] = {}
        for problem in checked.problems:
            subject = problem.detail if problem.field == "station_id" else None
            lines = grouped.setdefault((problem.code, problem.field, subject), [])
            lines.append((readings.lines[problem.index], problem.detail))
        for (code, column, _), found in grouped.items():
            numbers = sorted(line for line, _ in found)
            readings.problems.append(FileProblem(code, column, len(found), line_ranges(numbers), found[0][1]))
        ordered = sorted(checked.accepted, key=lambda observation: observation.timestamp)
        for start in range(0, len(ordered), BATCH):
            publisher.publish(ordered[start : start + BATCH], now)
        published = ordered
    except (PublishError, StationsError):
        raise
    except (RefusedError, MappingError) as error:
        refusal = error.refusal if isinstance(error, RefusedError) else None
        readings.problems.append(_problem(refusal) if refusal else FileProblem("mapping", None, 1, "", str(error)))
    except Exception as error:  # a file that nothing can read must not block the others
        readings.problems.append(FileProblem("error", None, 1, "", f"{type(error).__name__}: {error}"))
    return FileReport(
        file=path.name,
        processed_at=iso(now),
        result=DONE if published else FAILED,
        published=len(published),
        stations=dict(sorted(Counter(observation.station_id for observation in published).items())),
        columns=readings.columns,
        unused_columns=readings.unused_columns,
        problems=tuple(readings.problems),
    )


def line_ranges(lines: Sequence[int]) -> str:
    """Ascending line numbers as `2, 5-9`."""
    if not lines:
        return ""
    starts = [lines[0], *(after for before, after in pairwise(lines) if after > before + 1)]
    ends = [*(before for before, after in pairwise(lines) if after > before + 1), lines[-1]]
    return ", ".join(f"{start}-{end}" if end > start else str(start) for start, end in zip(starts, ends, strict=True))


def _problem(refusal: Refusal) -> FileProblem:
    return FileProblem(refusal.code, refusal.column, 1, str(refusal.line or ""), refusal.message)


def _read(path: Path, settings: Settings, now: datetime) -> _Readings:
    """Read a file.

    Raises:
        RefusedError: it cannot be read at all.
        MappingError: its mapping is unknown or invalid.
    """
    mapping = _mapping(path, settings)
    named = path.name.partition(".")[0]
    try:
        if is_sqlite(path):
            since = now - timedelta(hours=settings.past_horizon_hours)
            return _read_weewx(path, mapping.station or named, since)
    except OSError as error:
        raise RefusedError(path, Refusal(RefusalCode.UNREADABLE, f"cannot be read: {error.strerror}")) from None
    stated = Statements(
        units=mapping.units,
        time_zone=mapping.zone,
        time_format=mapping.time_format,
        columns={header: name for name, header in mapping.columns.items()},
        station=mapping.station,
        as_records=True,
        max_unreadable=MAX_UNREADABLE,
    )
    try:
        return _read_table(path, now, stated)
    except RefusedError as error:
        if error.refusal.code is not RefusalCode.NO_STATION:
            raise
    readings = _read_table(path, now, replace(stated, station=named))
    readings.columns["station_id"] = f"the name of the file: {named}"
    return readings


def _mapping(path: Path, settings: Settings) -> FileMapping:
    """The mapping of the file's subfolder; an empty one for the files of the watched folder itself."""
    folder = path.parent
    if folder == settings.incoming_folder:
        return FileMapping()
    mappings = read_mappings(settings).files
    if folder.name not in mappings:
        known = ", ".join(mappings) or "none"
        raise MappingError(f"no mapping [files.{folder.name}] in {settings.mappings}; known mappings: {known}")
    return mappings[folder.name]


def _read_weewx(path: Path, station: str, since: datetime) -> _Readings:
    archive = read_weewx(path, since)
    rows = archive.rows
    usable = [row for row in rows if row.record is not None]
    readings = _Readings(
        [{"station_id": station} | (row.record or {}) for row in usable], [row.number for row in usable]
    )
    refused: dict[tuple[str, str | None], list[tuple[int, Refusal]]] = {}
    for row in rows:
        if row.problem:
            refused.setdefault((row.problem.code, row.problem.column), []).append((row.number, row.problem))
    for (code, column), found in refused.items():
        lines = line_ranges([number for number, _ in found])
        readings.problems.append(FileProblem(code, column, len(found), lines, found[0][1].message))
    if archive.older:
        detail = f"older than {iso(since)}, which the stream would reject"
        lines = line_ranges(range(1, archive.older + 1))
        readings.problems.append(FileProblem(RejectionReason.PAST, "timestamp", archive.older, lines, detail))
    return _rounded(readings)


def _read_table(path: Path, now: datetime, stated: Statements) -> _Readings:
    network = read_network(path, now, stated, VALUES)
    series = network.series
    times = [time.replace(tzinfo=UTC) for time in series.times.tolist()]
    records = [
        {"station_id": str(station), "timestamp": iso(time)}
        | {name: value for name, value in zip(VALUES, row, strict=True) if not isnan(value)}
        for station, time, row in zip(network.stations, times, series.values.tolist(), strict=True)
    ]
    problems = [_problem(refusal) for refusal in series.refused]
    for skipped in series.skipped:
        lines = line_ranges(sorted(skipped.lines))
        problems.append(FileProblem(skipped.code, skipped.column, skipped.count, lines, skipped.reason))
    unused = tuple(name for name in series.unused_columns if name != network.station_column)
    return _rounded(_Readings(records, series.lines.tolist(), dict(series.columns), unused, problems))


def _rounded(readings: _Readings) -> _Readings:
    for record in readings.records:
        for name in VALUES:
            if isinstance(value := record.get(name), float):
                record[name] = round(value, DECIMALS)
    return readings


def _file_away(path: Path, incoming: Path, report: FileReport) -> Path:
    """Write the report, then move the file next to it; the new path of the file."""
    folder = incoming / report.result / path.parent.relative_to(incoming)
    folder.mkdir(parents=True, exist_ok=True)
    names = (path.name if not number else f"{path.stem}-{number}{path.suffix}" for number in count())
    target = next(folder / name for name in names if not (folder / name).exists())
    content = json.dumps(asdict(report), ensure_ascii=False, indent=1)
    write_atomically(target.with_name(target.name + REPORT_SUFFIX), content + "\n")
    path.rename(target)
    return target
