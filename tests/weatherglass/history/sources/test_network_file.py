"""Files of readings that become records: names stated by a mapping, the units of the contract, a stated station."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.weatherglass.history.sources.station_files import NOW, seconds, write
from weatherglass.history.sources.refusal import RefusalCode, RefusedError
from weatherglass.history.sources.series_file import NetworkSeries, Statements, read_network
from weatherglass.records import VARIABLES

NAMES = (*VARIABLES, "wind_direction", "wind_gust")
CONTRACT = "station_id,timestamp,temperature,humidity,pressure,wind_speed,wind_direction,wind_gust"
ROW = "2026-05-01T10:00:00Z,15,60,1013.2,3,250,7.5"


def read(path: Path, **stated: object) -> NetworkSeries:
    return read_network(path, NOW, Statements(as_records=True, **stated), NAMES)  # type: ignore[arg-type]


def refusal_code(path: Path, **stated: object) -> RefusalCode:
    with pytest.raises(RefusedError) as caught:
        read(path, **stated)
    return caught.value.refusal.code


def test_the_columns_of_a_record_have_its_units(tmp_path: Path) -> None:
    network = read(write(tmp_path / "a.csv", CONTRACT, f"garden,{ROW}", f"roof,{ROW}"))
    assert network.stations.tolist() == ["garden", "roof"]
    np.testing.assert_allclose(network.series.values, [[15, 60, 1013.2, 3, 250, 7.5]] * 2)
    assert not network.series.refused


@pytest.mark.parametrize(
    "header", [CONTRACT.replace("timestamp", "time"), CONTRACT + ",rain", CONTRACT.replace("station_id", "station")]
)
def test_other_columns_make_the_units_uncertain(tmp_path: Path, header: str) -> None:
    row = f"garden,{ROW}" + ",0" * header.endswith("rain")
    refused = {refusal.column for refusal in read(write(tmp_path / "a.csv", header, row)).series.refused}
    assert refused == {"temperature", "wind_speed", "wind_gust"}


def test_the_units_of_a_record_are_not_assumed_for_a_history(tmp_path: Path) -> None:
    network = read_network(write(tmp_path / "a.csv", CONTRACT, f"garden,{ROW}"), NOW)
    assert {refusal.code for refusal in network.series.refused} == {RefusalCode.UNIT_MISSING}


@pytest.mark.parametrize("header", ["Zeit;Temp. außen (°F);Böen", "Zeit;Temp. außen;Böen"])
def test_columns_are_read_by_the_names_of_a_mapping(tmp_path: Path, header: str) -> None:
    stated = {
        "columns": {"Zeit": "timestamp", "Temp. außen": "temperature", "Böen": "wind_gust (km/h)"},
        "units": {"temperature": "F"},
        "station": "garden",
    }
    network = read(write(tmp_path / "a.csv", "Export", header, "2026-05-01T10:00Z;59;36"), **stated)
    assert network.stations.tolist() == ["garden"]
    np.testing.assert_array_equal(network.series.times, seconds([NOW.replace(month=5, hour=10)]))
    assert network.series.values[0, NAMES.index("temperature")] == pytest.approx(15)
    assert network.series.values[0, NAMES.index("wind_gust")] == pytest.approx(10)


def test_a_stated_station_replaces_the_column_unless_that_has_several(tmp_path: Path) -> None:
    one = write(tmp_path / "a.csv", CONTRACT, f"Logger 7,{ROW}")
    assert read(one, station="garden").stations.tolist() == ["garden"]
    two = write(tmp_path / "b.csv", CONTRACT, f"Logger 7,{ROW}", f"Logger 8,{ROW}")
    assert refusal_code(two, station="garden") is RefusalCode.SEVERAL_STATIONS


def test_a_file_without_a_station_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "timestamp,temperature (°C)", "2026-05-01T10:00:00Z,15")
    assert refusal_code(path) is RefusalCode.NO_STATION


def test_pressure_at_sea_level_is_not_a_record(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "time,temp (°C),slp (hPa)", "2026-05-01T10:00:00Z,15,1013")
    series = read(path, station="garden").series
    assert [refusal.code for refusal in series.refused] == [RefusalCode.SEA_LEVEL]
    assert np.isnan(series.values[0, NAMES.index("pressure")])
    history = read_network(path, NOW, Statements(station="garden")).series
    assert history.values[0, VARIABLES.index("pressure")] == 1013


def test_the_share_of_unreadable_lines_may_be_stated(tmp_path: Path) -> None:
    lines = [f"garden,{ROW}"] * 3 + [f"garden,yesterday,{ROW.partition(',')[2]}", "garden,,,"]
    path = write(tmp_path / "a.csv", CONTRACT, *lines)
    assert refusal_code(path) is RefusalCode.FIELD_COUNT
    series = read(path, max_unreadable=0.5).series
    assert {(skipped.code, skipped.lines) for skipped in series.skipped} == {
        (RefusalCode.FIELD_COUNT, (6,)),
        (RefusalCode.TIME_FORMAT, (5,)),
    }
    assert series.lines.tolist() == [2, 3, 4]
