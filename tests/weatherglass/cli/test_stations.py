"""`weatherglass stations` lists the station table."""

from __future__ import annotations

import csv
import json

import pytest

from weatherglass.cli.main import main
from weatherglass.cli.stations import COLUMNS
from weatherglass.stations import STATIONS_CSV


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
