"""Reading weewx's archive: the unit system of each row, and files that are no archive."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producer.weewx import is_sqlite, read_weewx
from tests.producer.weewx_archive import write_archive
from weatherglass.history.sources.refusal import RefusalCode, RefusedError

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TIME = int(BEGIN.timestamp())
US = (1, 5, 30.1, 29.92, 50.0, 80.0, 10.0, 270.0, 20.0)
METRIC = (16, 5, 1020.0, 1013.2, 10.0, 80.0, 16.09, 270.0, 32.19)
METRICWX = (17, 5, 1020.0, 1013.2, 10.0, 80.0, 4.47, 270.0, 8.94)


def test_the_three_systems_of_units_give_the_same_values(tmp_path: Path) -> None:
    """29.92 inHg = 1013.2 hPa; 10 mph = 16.09 km/h = 4.47 m/s."""
    rows = [(TIME + 300 * number, *row) for number, row in enumerate((US, METRIC, METRICWX))]
    read = read_weewx(write_archive(tmp_path / "weewx.sdb", *rows), BEGIN).rows
    assert [row.number for row in read] == [1, 2, 3]
    for row, time in zip(read, ("00:00", "00:05", "00:10"), strict=True):
        assert row.problem is None
        assert row.record == {
            "timestamp": f"2026-01-01T{time}:00Z",
            "temperature": pytest.approx(10.0),
            "humidity": pytest.approx(80.0),
            "pressure": pytest.approx(1013.2, abs=0.05),
            "wind_speed": pytest.approx(4.47, abs=0.005),
            "wind_direction": pytest.approx(270.0),
            "wind_gust": pytest.approx(8.94, abs=0.005),
        }


def test_missing_values_are_null(tmp_path: Path) -> None:
    row = (TIME, 17, 5, None, None, 10.0, None, None, None, None)
    (read,) = read_weewx(write_archive(tmp_path / "weewx.sdb", row), BEGIN).rows
    assert read.record
    assert read.record["temperature"] == 10.0
    assert [name for name, value in read.record.items() if value is None] == [
        *("humidity", "pressure", "wind_speed", "wind_direction", "wind_gust")
    ]


def test_a_row_with_an_unknown_unit_or_time_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    rows = [(TIME, 2, *METRIC[1:]), (TIME + 300, *METRIC), (10**12, *METRIC)]
    read = read_weewx(write_archive(tmp_path / "weewx.sdb", *rows), BEGIN).rows
    assert [row.problem and row.problem.code for row in read] == [
        *(RefusalCode.UNIT_UNKNOWN, None, RefusalCode.TIME_FORMAT)
    ]


def test_older_rows_are_only_counted(tmp_path: Path) -> None:
    rows = [(TIME + 300 * number, *METRIC) for number in range(5)]
    archive = read_weewx(write_archive(tmp_path / "weewx.sdb", *rows), BEGIN + timedelta(minutes=15))
    assert archive.older == 3
    assert [row.number for row in archive.rows] == [4, 5]


def test_reading_creates_no_file(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "weewx.sdb", (TIME, *METRIC))
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    read_weewx(path, BEGIN)
    assert [entry.name for entry in tmp_path.iterdir()] == ["weewx.sdb"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("CREATE TABLE other (x)", RefusalCode.NO_HEADER),
        ("CREATE TABLE archive (x)", RefusalCode.NO_HEADER),
        ("CREATE TABLE archive (dateTime INTEGER, usUnits INTEGER)", RefusalCode.NO_READINGS),
    ],
)
def test_another_database_is_refused(tmp_path: Path, script: str, code: RefusalCode) -> None:
    path = tmp_path / "other.sdb"
    with closing(sqlite3.connect(path)) as database:
        database.execute(script)
    with pytest.raises(RefusedError, match=str(path)) as caught:
        read_weewx(path, BEGIN)
    assert caught.value.refusal.code is code


def test_a_truncated_database_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "weewx.sdb", *((TIME + 300 * number, *METRIC) for number in range(1000)))
    assert is_sqlite(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RefusedError) as caught:
        read_weewx(path, BEGIN)
    assert caught.value.refusal.code is RefusalCode.UNREADABLE
