"""Writes archive databases as weewx does (columns of `src/schemas/wview_extended.py`, the first ones)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

FIRST = ("dateTime", "usUnits", "interval")
NAMES = (*FIRST, "barometer", "pressure", "outTemp", "outHumidity", "windSpeed", "windDir", "windGust")


def write_archive(path: Path, *rows: tuple[object, ...]) -> Path:
    """Write an archive with rows of `NAMES`."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE archive (dateTime INTEGER NOT NULL UNIQUE PRIMARY KEY, usUnits INTEGER NOT NULL, "
            f"interval INTEGER NOT NULL, {', '.join(f'{name} REAL' for name in NAMES[len(FIRST) :])})"
        )
        marks = ", ".join("?" * len(NAMES))
        database.executemany(f"INSERT INTO archive ({', '.join(NAMES)}) VALUES ({marks})", rows)
    return path
