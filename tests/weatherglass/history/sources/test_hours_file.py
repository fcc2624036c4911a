from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from weatherglass.history.sources import SourceError
from weatherglass.history.sources.hours_file import read_hours

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["station;time;temperature (°F);wind speed (km/h);wind direction;note", *lines]))
    return path


def test_hours_are_in_the_units_of_the_records_and_what_is_not_used_is_counted(tmp_path: Path) -> None:
    file = write(
        tmp_path / "own.csv",
        "My Garden;2025-05-01T11:50:00Z;50;36;0;a",
        "My Garden;2025-05-01T12:00:00Z;68;36;90;b",
        "Roof;2025-05-01T11:41:00Z;32;;;c",
        "Roof;2025-05-01T11:41:00Z;41;;;repeated",
        "Roof;2025-05-01T12:20:00Z;50;;;between two hours",
    )
    hours = read_hours(file, NOW)
    assert list(hours.table["station_id"]) == ["my-garden", "roof"]
    assert list(hours.table["hour"].astype(str)) == ["2025-05-01 12:00:00+00:00"] * 2
    assert list(hours.table["temperature"]) == pytest.approx([15.0, 5.0])
    assert hours.table["wind_speed"][0] == pytest.approx(10.0)
    assert hours.table["wind_direction"][0] == pytest.approx(45.0)
    assert hours.table[["humidity", "pressure"]].isna().all(axis=None)
    assert {"time", "temperature", "wind_speed", "wind_direction"} <= set(hours.columns)
    assert [line.split()[:2] for line in hours.unused if "readings" in line] == [["1", "readings"], ["1", "of"]]
    assert sum("note" in line for line in hours.unused) == 1


def test_a_file_without_a_reading_of_an_hour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"own\.csv"):
        read_hours(write(tmp_path / "own.csv", "Roof;2025-05-01T12:20:00Z;50;;;a"), NOW)
