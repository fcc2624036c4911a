"""Files with guidance and observations: what is read, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from weatherglass.evaluation.guidance_file import read_guidance
from weatherglass.history.sources import SourceError

HEADER = "station,valid_time,lead_hours,latitude,longitude,elevation,a,b,sd,observed"
ROWS = (
    "oslo,2026-01-01T12:00Z,48,59.9,10.7,23,1,3,0.5,4",
    "oslo,2026-01-03T12:00Z,48,59.9,10.7,23,2,,0.7,",
    "rome,2026-01-01T12:00Z,48,41.9,12.5,-9999,11,13,0.4,10",
    "rome,2026-01-01T12:00Z,24,41.9,12.5,-9999,7,7,0.4,10",
)


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "pairs.csv"
    file.write_text("\n".join([header, *rows]), encoding="utf-8")
    return file


def test_the_rows_of_a_lead_become_days_stations_and_models(tmp_path: Path) -> None:
    series = read_guidance(write(tmp_path, *ROWS), ["b", "a"], 48, "sd")
    assert [station.station_id for station in series.stations] == ["oslo", "rome"]
    assert [station.elevation for station in series.stations] == [23, None]
    assert (series.first_day, series.delay) == (np.datetime64("2026-01-01"), 2)
    nan = np.nan
    np.testing.assert_array_equal(series.observed, [[4, 10], [nan, nan], [nan, nan]])
    np.testing.assert_array_equal(series.guidance[0], [[3, 1], [13, 11]])
    np.testing.assert_array_equal(series.mean, [[2, 12], [nan, nan], [2, nan]])
    assert series.spread is not None
    np.testing.assert_array_equal(series.spread[:, 0], [0.5, nan, 0.7])


@pytest.mark.parametrize(("lead", "delay"), [(1, 1), (24, 1), (25, 2), (48, 2), (120, 5)])
def test_an_observation_is_known_after_the_days_of_the_lead(tmp_path: Path, lead: int, delay: int) -> None:
    file = write(tmp_path, "2026-01-01,1,2", header="valid_date,a,observed")
    series = read_guidance(file, ["a"], lead, None)
    assert (series.delay, len(series.stations), series.spread) == (delay, 1, None)


@pytest.mark.parametrize(
    ("header", "rows", "models", "lead", "named"),
    [
        (HEADER, ROWS, ["c"], 48, "c"),
        (HEADER, ROWS, ["a"], None, "24, 48"),
        (HEADER, ROWS, ["a"], 72, "72"),
        (HEADER, [*ROWS, ROWS[0]], ["a"], 48, "station"),
        (HEADER, ["oslo,2026-01-01T12:00Z,48,59.9,10.7,23,x,3,0.5,4"], ["a"], 48, "'x'"),
        (HEADER, ["oslo,2026-01-01T12:00Z,48,59.9,10.7,23,1e999,3,0.5,4"], ["a"], 48, "1e999"),
        (HEADER, ["oslo,yesterday,48,59.9,10.7,23,1,3,0.5,4"], ["a"], 48, "yesterday"),
        (HEADER, ["oslo,,48,59.9,10.7,23,1,3,0.5,4"], ["a"], 48, "valid_time"),
        (HEADER, [ROWS[0], ROWS[1].replace("T12", "T13")], ["a"], 48, "hours"),
        ("valid_date,a,observed", ["2026-01-01,1,2"], ["a"], None, "lead_hours"),
        ("day,a,observed", ["2026-01-01,1,2"], ["a"], 24, "valid_date"),
        (HEADER, [], ["a"], 48, "pairs.csv"),
        (HEADER, ROWS, ["a"], 0, "0"),
        (HEADER, [ROWS[0].replace(",48,", ",-48,")], ["a"], None, "leads"),
        (HEADER, [ROWS[3], ROWS[0].replace("12:00Z", "12:00")], ["a"], 48, "line 3"),
        (HEADER, [ROWS[3], ROWS[0].replace("oslo", "")], ["a"], 48, "line 3"),
        (HEADER, [ROWS[3], ROWS[0].replace(",1,3", ",N/A,3")], ["a"], 48, "line 3"),
    ],
)
def test_what_is_not_certain_is_refused_with_its_name(
    tmp_path: Path, header: str, rows: list[str], models: list[str], lead: int | None, named: str
) -> None:
    with pytest.raises(SourceError) as error:
        read_guidance(write(tmp_path, *rows, header=header), models, lead, None)
    assert "pairs.csv" in str(error.value)
    assert named in str(error.value)


def test_a_station_may_be_called_na_and_times_may_be_between_hours(tmp_path: Path) -> None:
    rows = [ROWS[0].replace("oslo", "NA").replace("12:00Z", f"{time}") for time in ("12:30Z", "13:30+01:00")]
    series = read_guidance(write(tmp_path, rows[0], rows[1].replace("01-01", "01-02")), ["a"], 48, None)
    assert [station.station_id for station in series.stations] == ["NA"]
    np.testing.assert_array_equal(series.observed, [[4], [4]])


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv.gz"
    file.write_bytes(gzip.compress(b"station,observed\n" * 1000)[:40])
    with pytest.raises(SourceError, match=r"pairs\.csv\.gz"):
        read_guidance(file, ["a"], 24, None)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"missing\.csv"):
        read_guidance(tmp_path / "missing.csv", ["a"], 24, None)
