"""`weatherglass stations`: list, check and change the station table."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from weatherglass.files import replacing
from weatherglass.formatting import count_noun
from weatherglass.settings import Settings
from weatherglass.station_table import COLUMNS, Station, StationsError, read_stations_csv
from weatherglass.stations import STATIONS_CSV, known_stations

REFUSED = 1


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run one action; returns the exit status 0, or 1 if the table cannot be changed as requested.

    Raises:
        StationsError: the table, or the table with the change, is invalid.
    """
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: list_stations(settings, options.json),
        "check": lambda: check(options.file or settings.station_table),
        "add": lambda: add(settings, {name: getattr(options, name) for name in COLUMNS if hasattr(options, name)}),
        "remove": lambda: remove(settings, options.station_id),
    }
    return actions[options.action or "list"]()


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
    print(f"{file}: {count_noun(len(read_stations_csv(file)), 'station')}, no problem")
    return 0


def add(settings: Settings, fields: Mapping[str, str]) -> int:
    """Append a station to the user's table, which begins as a copy of the bundled one.

    Raises:
        StationsError: a field, or the table, is invalid; the table is unchanged.
    """
    if fields["station_id"] in known_stations(settings):
        return _refuse(f"{fields['station_id']} is in the station table; remove it first to change it")
    text = _content(settings)
    header = next(csv.reader([text.partition("\n")[0]]))
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([fields.get(name.strip(), "") for name in header])
    _replace(settings.station_table, text + "\n" * (not text.endswith("\n")) + line.getvalue())
    print(f"Added {fields['station_id']} to {settings.station_table}")
    return 0


def remove(settings: Settings, station_id: str) -> int:
    """Remove a station from the user's table, which begins as a copy of the bundled one; its observations stay.

    Raises:
        StationsError: the table is invalid, or would be without stations; it is unchanged.
    """
    known = known_stations(settings)
    if station_id not in known:
        return _refuse(f"{station_id} is not in the station table")
    lines = _content(settings).splitlines(keepends=True)
    column = [name.strip() for name in next(csv.reader([lines[0]]))].index("station_id")
    kept = [line for line in lines if [field.strip() for field in _row(line)][column : column + 1] != [station_id]]
    _replace(settings.station_table, "".join(kept))
    print(f"Removed {station_id} from {settings.station_table}")
    return 0


def _content(settings: Settings) -> str:
    """The text of the valid table in use, without a byte order mark."""
    file = settings.station_table if settings.station_table.exists() else STATIONS_CSV
    read_stations_csv(file)
    return file.read_bytes().decode("utf-8-sig")


def _row(line: str) -> list[str]:
    return next(csv.reader([line], skipinitialspace=True), [])


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        temporary.write_bytes(text.encode())
        try:
            read_stations_csv(temporary)
        except StationsError as error:
            raise StationsError(file, error.problems) from None


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return REFUSED


def _fields(station: Station) -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(station, name) for name in COLUMNS}
    names = {"networks": sorted(station.networks), "sources": station.sources}
    return fields | {column: [str(name) for name in values] for column, values in names.items()}


def _table(rows: list[dict[str, object]]) -> str:
    cells = [list(COLUMNS), *([_cell(row[name]) for name in COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return "-" if value is None else str(value)
