"""`weatherglass stations`: the stations of `stations.csv`."""

from __future__ import annotations

import json

from weatherglass.stations import Station, known_stations

COLUMNS = (
    *("station_id", "name", "country", "latitude", "longitude", "elevation", "timezone"),
    *("networks", "sources", "metar_id"),
)


def list_stations(as_json: bool) -> int:
    """Print the known stations, one per line or as a JSON array of objects; returns the exit status 0."""
    rows = [_fields(station) for station in known_stations().values()]
    print(json.dumps(rows, ensure_ascii=False, indent=1) if as_json else _table(rows))
    return 0


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
