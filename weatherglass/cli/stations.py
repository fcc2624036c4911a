"""`weatherglass stations`: list, check and change the station table."""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from weatherglass.files import exclusive_lock, replacing
from weatherglass.formatting import count_noun
from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.station_problems import StationsError
from weatherglass.station_table import COLUMNS, Station, read_station_versions
from weatherglass.stations import STATIONS_CSV, known_stations

REFUSED = 1
CHANGES = frozenset({"add", "move", "remove"})


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run one action; returns the exit status 0, or 1 if the table cannot be changed as requested.

    Raises:
        StationsError: the table, or the table with the change, is invalid.
    """
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: list_stations(settings, options.json),
        "check": lambda: check(options.file or settings.station_table),
        "add": lambda: add(settings, {name: getattr(options, name) for name in COLUMNS if hasattr(options, name)}),
        "move": lambda: move(settings, {name: getattr(options, name) for name in COLUMNS if hasattr(options, name)}),
        "remove": lambda: remove(settings, options.station_id),
    }
    action = options.action or "list"
    if action not in CHANGES:
        return actions[action]()
    with exclusive_lock(settings.station_table.with_name(f"{settings.station_table.name}.lock")):
        return actions[action]()


def list_stations(settings: Settings, as_json: bool) -> int:
    """Print the known stations, one per line or as a JSON array of objects."""
    rows = [_fields(station) for station in known_stations(settings).values()]
    print(json.dumps(rows, ensure_ascii=False, indent=1) if as_json else _table(rows))
    return 0


def check(file: Path) -> int:
    """Print how many stations a station table has.

    Raises:
        StationsError: with every problem of the file.
    """
    stations = {version.station_id for version in read_station_versions(file)}
    print(f"{file}: {count_noun(len(stations), 'station')}, no problem")
    return 0


def add(settings: Settings, fields: Mapping[str, str]) -> int:
    """Append a station to the user's table, which begins as a copy of the bundled one.

    Raises:
        StationsError: a field, or the table, is invalid; the table is unchanged.
    """
    station_id = fields["station_id"]
    if station_id in known_stations(settings) or _versions(settings, station_id):
        return _refuse(
            f"{station_id} is in the station table. If it has another place now, `weatherglass stations move "
            f"{station_id}`; to correct its line, edit {settings.station_table}"
        )
    _append(settings.station_table, _content(settings), fields)
    print(f"Added {station_id} to {settings.station_table}")
    return 0


def move(settings: Settings, fields: Mapping[str, str]) -> int:
    """Append a version of a station, with another place, to the user's table.

    The fields that do not belong to the place are those of its newest version. Without `since`, it applies from now on.

    Raises:
        StationsError: a field, or the table, is invalid; the table is unchanged.
    """
    station_id = fields["station_id"]
    versions = _versions(settings, station_id)
    if not versions:
        return _refuse(f"{station_id} is not in the station table; add it: weatherglass stations add")
    newest = max(versions, key=lambda version: (version.since is not None, version.since))
    since = fields.get("since") or iso(datetime.now(UTC).replace(microsecond=0))
    kept = {
        "name": newest.name,
        "country": newest.country,
        "timezone": newest.timezone,
        "networks": " ".join(sorted(newest.networks)),
        "sources": " ".join(newest.sources),
        "metar_id": newest.metar_id or "",
    }
    _append(settings.station_table, _with_since(_content(settings)), {**kept, **fields, "since": since})
    print(f"Moved {station_id} in {settings.station_table}: the new place applies since {since}")
    return 0


def remove(settings: Settings, station_id: str) -> int:
    """Remove all versions of a station from the user's table, which begins as a copy of the bundled one.

    Its observations stay.

    Raises:
        StationsError: the table is invalid, or would be without stations; it is unchanged.
    """
    if not _versions(settings, station_id):
        return _refuse(f"{station_id} is not in the station table")
    text = _content(settings)
    lines, column = text.splitlines(keepends=True), _header(text).index("station_id")
    kept = [line for line in lines if [field.strip() for field in _row(line)][column : column + 1] != [station_id]]
    _replace(settings.station_table, "".join(kept))
    print(f"Removed {station_id} from {settings.station_table}")
    return 0


def _table_in_use(settings: Settings) -> Path:
    return settings.station_table if settings.station_table.exists() else STATIONS_CSV


def _versions(settings: Settings, station_id: str) -> list[Station]:
    """The versions of a station in the table in use; none if it is not there."""
    versions = read_station_versions(_table_in_use(settings))
    return [version for version in versions if version.station_id == station_id]


def _content(settings: Settings) -> str:
    """The text of the valid table in use, without a byte order mark."""
    file = _table_in_use(settings)
    read_station_versions(file)
    return file.read_bytes().decode("utf-8-sig")


def _row(line: str) -> list[str]:
    return next(csv.reader([line], skipinitialspace=True), [])


def _header(text: str) -> list[str]:
    first = re.search(r"[^\s,][^\r\n]*", text)
    assert first is not None, "a valid table has a header"
    return [name.strip() for name in _row(first[0])]


def _with_since(text: str) -> str:
    """The text of a table with the column `since`: where it is missing, it is added without times."""
    if "since" in _header(text):
        return text
    _, blank, header, lines = re.split(r"^([\s,]*)([^\r\n]+)", text, maxsplit=1)
    return f"{blank}{header},since" + re.sub(r"[^\r\n]+", r"\g<0>,", lines)


def _append(file: Path, text: str, fields: Mapping[str, str]) -> None:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([fields.get(name, "") for name in _header(text)])
    _replace(file, text + "\n" * (not text.endswith("\n")) + line.getvalue())


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_bytes(text.encode())
        try:
            read_station_versions(temporary)
        except StationsError as error:
            raise StationsError(file, error.problems) from None


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return REFUSED


def _fields(station: Station) -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(station, name) for name in COLUMNS}
    names = {"networks": sorted(station.networks), "sources": station.sources}
    lists = {column: [str(name) for name in values] for column, values in names.items()}
    return fields | lists | {"since": station.since and iso(station.since)}


def _table(rows: list[dict[str, object]]) -> str:
    cells = [list(COLUMNS), *([_cell(row[name]) for name in COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return "-" if value is None else str(value)
