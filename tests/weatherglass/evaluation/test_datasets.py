"""Tables of readings and of stations for the evaluation."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.log_records import product_records
from tests.prepared_history import table, write_history
from tests.synthetic_history import stations
from weatherglass.evaluation.datasets import read, read_station_table
from weatherglass.history.sources import SourceError, nycflights13
from weatherglass.history.sources.refusal import RefusalCode, RefusedError
from weatherglass.history.sources.series_file import Statements
from weatherglass.history.sources.series_times import parse_zone
from weatherglass.stations import Station

HEADER = "city,latitude,longitude,elevation"
NOW = datetime(2026, 1, 5, tzinfo=UTC)
GIVEN = stations(1)


def elsewhere(stations: tuple[Station, ...]) -> tuple[Station, ...]:
    """The same stations at another place, as a user gives them."""
    return tuple(replace(station, latitude=1.0) for station in stations)


@pytest.mark.parametrize("given", [None, elsewhere(nycflights13.stations())])
def test_the_bundled_data_have_their_own_stations_unless_others_are_given(given: tuple[Station, ...] | None) -> None:
    observations, found = read([Path("nycflights13")], NOW, None, given)
    assert set(observations["station_id"]) == {"ewr", "jfk", "lga"}
    assert found == (given or nycflights13.stations())


@pytest.mark.parametrize("given", [None, elsewhere(stations(2))])
def test_a_prepared_history_has_its_own_stations_unless_others_are_given(
    tmp_path: Path, given: tuple[Station, ...] | None
) -> None:
    write_history(tmp_path)
    observations, found = read([tmp_path], NOW, None, given)
    for name in ("s0", "s1"):
        of_station = observations[observations["station_id"] == name].sort_values("hour")
        assert of_station["temperature"].tolist() == table(48)["temperature"].tolist()
    assert found == (given or stations(2))


@pytest.mark.parametrize("name", ["table.csv", "table.parquet", "folder/part.parquet"])
def test_a_table_of_other_column_names_in_kelvin_is_read(tmp_path: Path, name: str) -> None:
    """A folder without a manifest is a Parquet folder, not a prepared history."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    celsius = table(5)[["station_id", "hour", "temperature"]]
    kelvin = celsius.assign(temperature=celsius["temperature"] + 273.15)
    kelvin = kelvin.rename(columns={"station_id": "city", "hour": "datetime"})
    if file.suffix == ".csv":
        kelvin.to_csv(file, index=False)
    else:
        kelvin.to_parquet(file, index=False)
    observations, found = read([file.parent if file.parent != tmp_path else file], NOW, None, GIVEN)
    assert observations["hour"].tolist() == celsius["hour"].tolist()
    assert observations["temperature"].tolist() == pytest.approx(celsius["temperature"].tolist())
    assert observations["humidity"].isna().all()
    assert found == GIVEN


def test_optional_columns_and_cells_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(f"{HEADER},name\nNew York,40.7143,-74.006,10,\n71063,0.00001,1e-7,,North\n", encoding="utf-8")
    assert read_station_table(file) == (
        Station("new-york", "New York", "", 40.7143, -74.006, 10.0, "UTC", frozenset()),
        Station("71063", "North", "", 0.00001, 1e-7, None, "UTC", frozenset()),
    )


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("Oslo,151.2,10.75,5", ["row 2", "latitude", "151.2", "-90 to 90"]),
        ("Oslo,59.9,280,5", ["row 2", "longitude", "280", "-180 to 180"]),
        ("Oslo,,10.75,5", ["row 2", "latitude"]),
        ('Oslo,"59,9",10.75,5', ["row 2", "latitude", "59,9"]),
        ("Oslo,59.9,10.75,-999", ["row 2", "elevation", "-999", "-450 to 9000"]),
        ("Oslo,59.9,inf,5", ["row 2", "longitude", "inf"]),
        ("東京,35.7,139.7,40", ["row 2", "station_id"]),
        ("Kiel,54.3,10.1,5", ["row 2", "kiel"]),
    ],
)
def test_an_invalid_row_is_named_with_value_and_allowed_range(tmp_path: Path, line: str, texts: list[str]) -> None:
    file = tmp_path / "table.csv"
    file.write_text(f"{HEADER}\nKiel,54.3,10.1,5\n{line}\n", encoding="utf-8")
    with pytest.raises(SourceError) as error:
        read_station_table(file)
    for text in [str(file), *texts]:
        assert text in str(error.value)


UNITS = "station,time (UTC),temperature (°C)"


def write(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return path


def only_row(table: pd.DataFrame) -> pd.Series:
    (row,) = table.to_dict("records")
    return row


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_units_in_the_header_are_converted(tmp_path: Path, suffix: str) -> None:
    columns = ["temperature (°F)", "pressure (Pa)", "wind_speed (km/h)", "humidity (%)", "wind_direction"]
    values = [50.0, 101_300.0, 36.0, 80.0, 270.0]
    frame = pd.DataFrame([["New York", "2017-01-01T00:00Z", *values]], columns=["city", "time", *columns])
    file = tmp_path / f"table.{suffix}"
    if suffix == "csv":
        frame.to_csv(file, index=False)
    else:
        frame.assign(time=pd.to_datetime(frame["time"])).to_parquet(file)
    table, stations = read([file], NOW)
    row = only_row(table)
    assert [row[name] for name in ("temperature", "pressure", "wind_speed", "humidity", "wind_direction")] == (
        pytest.approx([10.0, 1013.0, 10.0, 80.0, 270.0])
    )
    assert row["hour"] == pd.Timestamp("2017-01-01T00:00Z")
    assert [station.station_id for station in stations] == ["new-york"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_unit_that_is_not_certain_is_refused_unless_it_is_stated(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"station": ["boston"], "time": [pd.Timestamp("2017-01-01T00:00Z")], "temperature": [50.0]})
    file = tmp_path / f"table.{suffix}"
    if suffix == "csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file)
    with pytest.raises(RefusedError) as error:
        read([file], NOW)
    assert error.value.refusal.code is RefusalCode.UNIT_MISSING
    table, _ = read([file], NOW, Statements({"temperature": "F"}))
    assert only_row(table)["temperature"] == pytest.approx(10.0)


def test_an_hour_is_the_mean_of_the_readings_around_it_that_the_rule_of_the_hour_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every ten minutes from 11:20: 11:50 and 12:00 belong to 12:00, and those after 12:00 until 12:40 to no hour."""
    minutes = range(20, 101, 10)
    lines = [f"boston,2017-01-01 {11 + m // 60}:{m % 60:02d},{m - 20}" for m in minutes]
    with caplog.at_level(logging.WARNING, "weatherglass"):
        table, _ = read([write(tmp_path / "t.csv", UNITS, *lines)], NOW)
    row = only_row(table)
    assert row["hour"] == pd.Timestamp("2017-01-01T12:00Z")
    assert row["temperature"] == pytest.approx((30 + 40) / 2)
    assert any("7 of 9" in record.getMessage() for record in caplog.records)


def test_dew_point_compass_points_and_local_time_are_understood(tmp_path: Path) -> None:
    header = "station,time,temperature (°C),dew_point (°C),wind_speed (m/s),wind_direction"
    file = write(
        tmp_path / "t.csv", header, "boston,2017-07-01 08:00,20,20,3,WSW", "boston,2017-07-01 09:00,20,9.3,3,N"
    )
    stated = Statements(time_zone=parse_zone("America/New_York"))
    with pytest.raises(RefusedError) as error:
        read([file], NOW)
    assert error.value.refusal.code is RefusalCode.TIME_ZONE
    table, _ = read([file], NOW, stated)
    assert table["hour"].tolist() == [pd.Timestamp("2017-07-01T12:00Z"), pd.Timestamp("2017-07-01T13:00Z")]
    assert table["humidity"].tolist() == pytest.approx([100.0, 50.0], abs=0.5)
    np.testing.assert_allclose(table["wind_direction"] % 360, [247.5, 0.0], atol=1e-6)


def test_stations_that_the_table_does_not_have_are_named_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"s{number},2017-01-01 12:00,5" for number in range(12)]
    file = write(tmp_path / "t.csv", UNITS, *lines)
    stations = write(tmp_path / "s.csv", "station_id,latitude,longitude", *(f"s{n},45,{n}" for n in range(6)))
    known = read_station_table(stations)
    with caplog.at_level(logging.WARNING, "weatherglass"):
        table, used = read([file], NOW, None, known)
    assert set(table["station_id"]) == {f"s{number}" for number in range(6)}
    assert used == known
    (message,) = [record.getMessage() for record in product_records(caplog)]
    assert all(f"s{number}" in message for number in range(6, 12))
    with pytest.raises(SourceError, match=r"\bs11\b"):
        read([file], NOW)


def test_hours_before_a_station_was_moved_are_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        "kiel,54.3,10.1,",
        "oslo,59.9,10.7,",
        "oslo,60.5,10.8,2017-01-01T13:00Z",
        "oslo,61.5,10.8,9999-01-01T00:00Z",
    ]
    table_of_stations = write(tmp_path / "s.csv", "station_id,latitude,longitude,since", *rows)
    known = read_station_table(table_of_stations)
    assert [(station.station_id, station.latitude) for station in known] == [("kiel", 54.3), ("oslo", 60.5)]
    lines = [f"{name},2017-01-01 {hour}:00,{hour}" for name in ("kiel", "oslo") for hour in range(12, 16)]
    with caplog.at_level(logging.WARNING, "weatherglass"):
        table, used = read([write(tmp_path / "t.csv", UNITS, *lines)], NOW, None, known)
    assert used == known
    kept = {name: rows["temperature"].tolist() for name, rows in table.groupby("station_id")}
    assert kept == {"kiel": [12, 13, 14, 15], "oslo": [14, 15]}
    (message,) = [record.getMessage() for record in product_records(caplog)]
    assert "2 hours of oslo" in message
    write(table_of_stations, "station_id,latitude,longitude,since", *rows, rows[2])
    with pytest.raises(SourceError, match="row 5"):
        read_station_table(table_of_stations)


def test_several_files_are_joined_and_the_last_one_counts(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", UNITS, "boston,2017-01-01 12:00,1", "boston,2017-01-01 13:00,2")
    second = write(
        tmp_path / "b.csv", "city;time (UTC);temp (°F)", "Boston;2017-01-01 13:00;50", "Miami;2017-01-01 13:00;68"
    )
    table, stations = read([first, second], NOW)
    found = {(row.station_id, row.hour.hour): row.temperature for row in table.itertuples()}
    assert found == pytest.approx({("boston", 12): 1.0, ("boston", 13): 10.0, ("miami", 13): 20.0})
    assert {station.station_id for station in stations} == {"boston", "miami"}


def test_what_is_not_used_of_a_table_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    header = f"{UNITS},snow,humidity (furlong)"
    lines = ["boston,2017-01-01 12:00,1,0,5", "boston,2017-01-01 12:00,3,0,5"]
    lines += [f"boston,2017-01-02 {hour:02d}:00,{hour},0,5" for hour in range(24)]
    lines += ["boston,2017-01-03 00:00,much,0,5"]
    with caplog.at_level(logging.WARNING, "weatherglass"):
        table, _ = read([write(tmp_path / "t.csv", header, *lines)], NOW)
    assert table["temperature"].iloc[0] == 3.0
    messages = " ".join(record.getMessage() for record in caplog.records)
    for text in ("snow", "furlong", "repeated", "line 28"):
        assert text in messages


def test_the_error_for_an_unknown_file_says_what_it_contains(tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", "when,where,how_warm", "today,here,very")
    with pytest.raises(RefusedError) as error:
        read([file], NOW)
    assert error.value.refusal.code is RefusalCode.NO_HEADER
    assert "when,where,how_warm" in str(error.value)
    no_station = write(tmp_path / "u.csv", "time (UTC),temperature (°C)", "2017-01-01 12:00,1")
    with pytest.raises(RefusedError) as error:
        read([no_station], NOW)
    assert "temperature (°C)" in str(error.value)
