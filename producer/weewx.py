"""Readings from a copy of weewx's archive database (SQLite).

The table `archive` has a row for each archive interval (weewx's `src/schemas/wview_extended.py`): `dateTime` is the end
of the interval in seconds since 1970, and `usUnits` the system of units of the row: 1 US (°F, inHg, mph), 16 METRIC
(°C, mbar, km/h) or 17 METRICWX (°C, mbar, m/s) (`src/weewx/units.py`). `pressure` is the pressure at the station;
`barometer` and `altimeter` are reduced to sea level and are not used.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from weatherglass.history.sources.refusal import Refusal, RefusalCode, RefusedError
from weatherglass.history.sources.units import Unit, find_unit
from weatherglass.records import EARLIEST, LATEST, iso

MAGIC = b"SQLite format 3\0"
"""The first bytes of an SQLite file (sqlite.org/fileformat.html)."""
COLUMNS = {
    "temperature": "outTemp",
    "humidity": "outHumidity",
    "pressure": "pressure",
    "wind_speed": "windSpeed",
    "wind_direction": "windDir",
    "wind_gust": "windGust",
}
_UNITS = {
    1: {"temperature": "°F", "pressure": "inHg", "wind_speed": "mph", "wind_gust": "mph"},
    16: {"temperature": "°C", "pressure": "mbar", "wind_speed": "km/h", "wind_gust": "km/h"},
    17: {"temperature": "°C", "pressure": "mbar", "wind_speed": "m/s", "wind_gust": "m/s"},
}
_SAME_UNITS = {"humidity": "%", "wind_direction": "°"}


@dataclass(frozen=True)
class WeewxRow:
    """A row of the archive.

    Attributes:
        number: in the order of time, the first is 1.
        record: timestamp and values as a record has them; None if the row cannot be used.
        problem: why not.
    """

    number: int
    record: dict[str, Any] | None
    problem: Refusal | None = None


def is_sqlite(path: Path) -> bool:
    """Whether a file is an SQLite database.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as content:
        return content.read(len(MAGIC)) == MAGIC


@dataclass(frozen=True)
class WeewxArchive:
    """The rows of an archive.

    Attributes:
        older: how many rows are older than what was asked for; only counted, an archive may have millions of them.
        rows: the others, in the order of time.
    """

    older: int
    rows: list[WeewxRow]


def read_weewx(path: Path, since: datetime) -> WeewxArchive:
    """Read the rows of the archive.

    Args:
        since: UTC.

    Raises:
        RefusedError: it is not an archive of weewx, is damaged, or has no row.
    """
    try:
        # Immutable: a copy has no writer, and opening it must not create files next to it.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            names = [row[1] for row in database.execute("PRAGMA table_info(archive)")]
            if not {"dateTime", "usUnits"} <= set(names):
                found = f"the columns {', '.join(names)}" if names else "no table archive"
                raise RefusedError(path, Refusal(RefusalCode.NO_HEADER, f"no archive of weewx: it has {found}"))
            chosen = {name: column for name, column in COLUMNS.items() if column in names}
            columns = ", ".join(["dateTime", "usUnits", *chosen.values()])
            old = "typeof(dateTime) = 'integer' AND dateTime < ?"
            begin = (int(since.timestamp()),)
            ((older,),) = database.execute(f"SELECT count(*) FROM archive WHERE {old}", begin)  # noqa: S608
            rows = database.execute(
                f"SELECT {columns} FROM archive WHERE NOT ({old}) ORDER BY dateTime",  # noqa: S608
                begin,
            ).fetchall()
    except sqlite3.Error as error:
        raise RefusedError(path, Refusal(RefusalCode.UNREADABLE, f"a damaged SQLite database: {error}")) from None
    if not rows and not older:
        raise RefusedError(path, Refusal(RefusalCode.NO_READINGS, "the table archive is empty"))
    return WeewxArchive(older, [_row(number, list(chosen), *row) for number, row in enumerate(rows, older + 1)])


def _row(number: int, names: list[str], time: object, system: object, *values: object) -> WeewxRow:
    if not isinstance(time, int) or not EARLIEST.timestamp() <= time < LATEST.timestamp():
        return WeewxRow(number, None, Refusal(RefusalCode.TIME_FORMAT, f"dateTime is {time!r}", number, "dateTime"))
    units = _UNITS.get(system) if isinstance(system, int) else None
    if units is None:
        message = f"usUnits is {system!r}; allowed: 1 (US), 16 (METRIC) and 17 (METRICWX)"
        return WeewxRow(number, None, Refusal(RefusalCode.UNIT_UNKNOWN, message, number, "usUnits"))
    record: dict[str, Any] = {"timestamp": iso(datetime.fromtimestamp(time, UTC))}
    for name, value in zip(names, values, strict=True):
        if isinstance(value, int | float):
            unit = find_unit(name, {**units, **_SAME_UNITS}[name])
            assert isinstance(unit, Unit)
            value = unit.convert(value)
        record[name] = value
    return WeewxRow(number, record)
