"""`weatherglass stations` lists, checks and changes the station table."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from weatherglass.cli.main import main
from weatherglass.station_table import COLUMNS, Station, read_station_versions, read_stations_csv
from weatherglass.stations import STATIONS_CSV, bundled_stations

LOCK = "stations.csv.lock"


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's station table is; it does not exist yet."""
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path))
    return tmp_path / "stations.csv"


def test_json_contains_every_field_of_the_station_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stations", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    with STATIONS_CSV.open(encoding="utf-8", newline="") as file:
        expected = [
            {
                **row,
                **{name: float(row[name]) for name in ("latitude", "longitude", "elevation")},
                "networks": sorted(row["networks"].split()),
                "sources": row["sources"].split(),
                "metar_id": row["metar_id"] or None,
                "since": None,
            }
            for row in csv.DictReader(file)
        ]
    assert listed == expected


def test_table_has_a_header_and_one_line_per_station(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stations"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == list(COLUMNS)
    with STATIONS_CSV.open(encoding="utf-8", newline="") as file:
        assert [line.split()[0] for line in lines] == [row["station_id"] for row in csv.DictReader(file)]


ADD = ["stations", "add", "garden", "--name", "Garden, back", "--latitude", "-33.9", "--longitude", "151.2"]


def test_stations_that_are_added_at_the_same_time_are_all_in_the_table(table: Path) -> None:
    ids = [f"garden-{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda name: main(["stations", "add", name, *ADD[3:]]), ids)) == {0}
    assert read_stations_csv(table).keys() == bundled_stations().keys() | set(ids)


def test_an_added_station_is_in_a_copy_of_the_bundled_table(table: Path) -> None:
    assert main([*ADD, "--elevation", "12", "--time-zone", "Australia/Sydney"]) == 0
    stations = read_stations_csv(table)
    garden = stations.pop("garden")
    assert stations == bundled_stations()
    assert garden == Station(
        "garden", "Garden, back", "", -33.9, 151.2, 12.0, "Australia/Sydney", frozenset(), (), None
    )
    before = table.read_bytes()
    assert main(ADD) == 1
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "column"),
    [(("-33.9", "91"), "latitude"), (("garden", "Garden"), "station_id"), (("151.2", "151,2"), "longitude")],
)
def test_a_station_with_an_invalid_field_is_not_added(
    table: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], column: str
) -> None:
    assert main([change[1] if argument == change[0] else argument for argument in ADD]) == 2
    assert column in capsys.readouterr().err
    assert {file.name for file in table.parent.iterdir()} <= {LOCK}


@pytest.mark.parametrize("option", ["--name", "--latitude", "--longitude"])
def test_a_station_needs_a_name_and_a_place(table: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    start = ADD.index(option)
    with pytest.raises(SystemExit) as exit_:
        main([*ADD[:start], *ADD[start + 2 :]])
    assert exit_.value.code == 2
    assert option in capsys.readouterr().err
    assert not table.exists()


def test_a_removed_station_is_in_the_table_no_more_and_other_lines_are_unchanged(table: Path) -> None:
    columns = "\ufeffname, station_id ,latitude,longitude,elevation,timezone,country,networks,sources,metar_id"
    lines = [columns, '"a, b",  roof ,1,2,,UTC,,,,', "", "c,garden,1,2,3,UTC,,,,", '"d",shed,1,2,3,UTC,,,,']
    table.write_text("\r\n".join(lines), encoding="utf-8", newline="")
    assert main(["stations", "remove", "garden"]) == 0
    assert table.read_bytes().decode() == "\r\n".join([columns.removeprefix("\ufeff"), *lines[1:3], lines[4]])
    assert main(["stations", "remove", "garden"]) == 1
    assert main(["stations", "remove", "roof"]) == 0
    assert list(read_stations_csv(table)) == ["shed"]
    assert main(["stations", "remove", "shed"]) == 2
    assert list(read_stations_csv(table)) == ["shed"]


MOVE = ["stations", "move", "garden", "--latitude", "-34.5", "--longitude", "150.5"]
SINCE = datetime(2026, 5, 31, 14, tzinfo=UTC)


def test_a_moved_station_has_a_version_with_the_new_place(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(MOVE) == 1
    assert {file.name for file in table.parent.iterdir()} <= {LOCK}
    assert main([*ADD, "--elevation", "12", "--time-zone", "Australia/Sydney"]) == 0
    first = read_stations_csv(table)["garden"]
    assert main([*MOVE, "--elevation", "30", "--since", "2026-05-31T14:00:00Z"]) == 0
    second = replace(first, latitude=-34.5, longitude=150.5, elevation=30.0, since=SINCE)
    versions = read_station_versions(table)
    assert versions[-2:] == (first, second)
    assert versions[:-2] == tuple(bundled_stations().values())
    capsys.readouterr()
    assert main(["stations", "--json"]) == 0
    assert [row["since"] for row in json.loads(capsys.readouterr().out)][-2:] == [None, "2026-05-31T14:00:00Z"]

    # The elevation of another place is not that of this one.
    before = datetime.now(UTC).replace(microsecond=0)
    assert main(MOVE) == 0
    third = read_station_versions(table)[-1]
    assert third.since is not None
    assert before <= third.since <= datetime.now(UTC)
    assert third == replace(second, elevation=None, since=third.since)

    content = table.read_bytes()
    assert main([*MOVE, "--since", "2026-05-31T14:00:00Z"]) == 2  # a version of this time is there
    assert main([*MOVE, "--since", "2026-06-31T14:00:00Z"]) == 2
    assert main([*MOVE, "--since", "2026-06-30T14:00:00"]) == 2
    assert main([*MOVE[:4], "134.5", *MOVE[5:]]) == 2
    assert main(ADD) == 1
    assert table.read_bytes() == content

    assert main(["stations", "remove", "garden"]) == 0
    assert read_station_versions(table) == tuple(bundled_stations().values())


def test_a_station_that_moves_later_can_be_neither_added_nor_lost(table: Path) -> None:
    table.write_text(f"{','.join(COLUMNS)}\ngarden,G,,1,2,,UTC,,,,9999-12-31T23:59Z\nroof,R,,1,2,,UTC,,,,\n")
    assert list(read_stations_csv(table)) == ["roof"]
    assert main(ADD) == 1
    assert main(["stations", "remove", "garden"]) == 0
    assert [version.station_id for version in read_station_versions(table)] == ["roof"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_table_without_times_gets_the_column_and_keeps_its_lines(table: Path, ending: str) -> None:
    columns = "name, station_id ,latitude,longitude,elevation,timezone,country,networks,sources,metar_id"
    lines = ["", columns, '"a, b",  garden ,1,2,7,UTC,,,open-meteo metar,KJFK', "", '"d",shed,1,2,3,UTC,,,,']
    table.write_text(ending.join(lines), encoding="utf-8", newline="")
    [garden, shed] = read_station_versions(table)
    assert main([*MOVE, "--since", "2026-05-31T14:00:00Z"]) == 0
    moved = replace(garden, latitude=-34.5, longitude=150.5, elevation=None, since=SINCE)
    assert read_station_versions(table) == (garden, shed, moved)
    extended = ["", f"{columns},since", f"{lines[2]},", "", f"{lines[4]},"]
    assert table.read_bytes().decode().startswith(ending.join(extended))


def test_a_station_is_added_in_the_order_of_the_columns_of_the_table(table: Path) -> None:
    header = "name,station_id,longitude,latitude,elevation,timezone,country,networks,sources,metar_id"
    table.write_text(f"{header}\na,roof,2,1,,UTC,,,,", encoding="utf-8")
    assert main(ADD) == 0
    garden = read_stations_csv(table)["garden"]
    assert (garden.latitude, garden.longitude, garden.elevation) == (-33.9, 151.2, None)


def test_check_reports_the_problems_of_any_table(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stations", "check", str(STATIONS_CSV)]) == 0
    assert str(STATIONS_CSV) in capsys.readouterr().out
    assert main(["stations", "check"]) == 2
    assert str(table) in capsys.readouterr().err
    assert main(ADD) == 0
    assert main(["stations", "check"]) == 0
    table.write_text(table.read_text(encoding="utf-8").replace("-33.9", "233.9"), encoding="utf-8")
    assert main(["stations", "check", str(table)]) == 2
    assert "233.9" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["stations", "list", "--json"], ["stations", "--json", "list"]])
def test_list_lists_the_users_table(table: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(ADD) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    assert [row["station_id"] for row in json.loads(capsys.readouterr().out)] == [*bundled_stations(), "garden"]
