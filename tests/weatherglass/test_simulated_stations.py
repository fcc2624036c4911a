"""The station table of the simulator."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from weatherglass.simulated_stations import MAX_STATIONS, REGION, simulated_stations
from weatherglass.station_table import COLUMNS, read_stations_csv


def test_the_stations_are_a_valid_station_table(tmp_path: Path) -> None:
    stations = simulated_stations(MAX_STATIONS, 1)
    file = tmp_path / "stations.csv"
    with file.open("w", encoding="utf-8", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(COLUMNS)
        for station in stations:
            fields = {name: getattr(station, name) for name in COLUMNS} | {"networks": "", "sources": ""}
            writer.writerow(fields.values())
    assert read_stations_csv(file) == {station.station_id: station for station in stations}
    (south, north), (west, east) = REGION
    for station in stations:
        assert south <= station.latitude <= north
        assert west <= station.longitude <= east
    elevations = np.array([station.elevation for station in stations])
    assert 0 < elevations.min() < 100
    assert 500 < elevations.max() <= 900


def test_another_seed_gives_other_places() -> None:
    assert simulated_stations(5, 1) == simulated_stations(5, 1)
    assert {s.latitude for s in simulated_stations(5, 1)}.isdisjoint({s.latitude for s in simulated_stations(5, 2)})


def test_a_larger_network_contains_the_smaller_one() -> None:
    small, large = simulated_stations(10, 7), simulated_stations(500, 7)
    assert large[:10] == small


@pytest.mark.parametrize("count", [0, -1, MAX_STATIONS + 1])
def test_other_sizes_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=str(count)):
        simulated_stations(count, 1)
