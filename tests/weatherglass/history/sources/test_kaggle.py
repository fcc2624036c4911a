"""Reading Kaggle's zip: what cannot be used is named, and everything else is used."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.kaggle import (
    FILES,
    KaggleHistory,
    KaggleProblemCode,
    read_cities,
    read_kaggle,
    read_variable,
)

ATTRIBUTES = "City,Country,Latitude,Longitude\nNew York,United States,40.714272,-74.005966\nOslo,Norway,59.91,10.75\n"
TABLES = {
    "temperature": "datetime,New York,Oslo\n2013-01-01 00:00:00,273.15,\n2013-01-01 01:00:00,283.15,\n",
    "humidity": "datetime,New York,Oslo\n2013-01-01 00:00:00,80,\n2013-01-01 01:00:00,,\n",
    "pressure": "datetime,New York,Oslo\n2013-01-01 00:00:00,1013,\n2013-01-01 01:00:00,1014,\n",
    "wind_speed": "datetime,New York,Oslo\n2013-01-01 00:00:00,3,\n2013-01-01 01:00:00,4,5\n",
    "wind_direction": "datetime,New York,Oslo\n2013-01-01 00:00:00,360,\n2013-01-01 01:00:00,10,\n",
}


def make_zip(path: Path, **changed: str | None) -> Path:
    """A zip in Kaggle's layout; a table given as None is omitted."""
    members = {FILES[name]: text for name, text in TABLES.items()} | {"city_attributes.csv": ATTRIBUTES}
    members |= {f"{name}.csv": text for name, text in changed.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            if text is not None:
                archive.writestr(name, text)
    return path


def test_rows_are_in_the_units_of_the_records(tmp_path: Path) -> None:
    rows, stations, problems = read_kaggle(make_zip(tmp_path / "k.zip"))
    assert tuple(rows.columns) == HISTORY_COLUMNS
    assert [station.station_id for station in stations] == ["new-york", "oslo"]
    assert problems == ()
    assert stations[0].elevation == 10  # from stations.csv
    assert stations[1].elevation is None
    first, second = rows[rows.station_id == "new-york"].itertuples(index=False)
    assert (first.temperature, first.humidity, first.pressure, first.wind_speed) == (0, 80, 1013, 3)
    assert second.temperature == pytest.approx(10)
    assert np.isnan(second.humidity)
    (oslo,) = rows[rows.station_id == "oslo"].itertuples(index=False)  # the hour without a value is omitted
    assert oslo.wind_speed == 5
    assert oslo.hour == pd.Timestamp("2013-01-01T01:00Z")


HOURS = pd.date_range("2013-01-01", periods=48, freq="h")


def table(*extra: str, header: str = "datetime,New York,Oslo", base: float = 280.0) -> str:
    """A table of 48 hours, with further lines after the first 24."""
    rows = [f"{hour},{base + i % 5},{base + i % 3}" for i, hour in enumerate(HOURS)]
    return "\n".join([header, *rows[:24], *extra, *rows[24:]]) + "\n"


def expected(base: float = 280.0) -> np.ndarray:
    return np.array([[base + i % 5, base + i % 3] for i in range(48)])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("2150-01-01 00:00:00,280,280", KaggleProblemCode.TIME_RANGE),
        ("1800-01-01 00:00:00,280,280", KaggleProblemCode.TIME_RANGE),
        ("9999-12-31 23:00:00,280,280", KaggleProblemCode.TIME),
        ("2013-02-30 00:00:00,280,280", KaggleProblemCode.TIME),
        ("yesterday,280,280", KaggleProblemCode.TIME),
        (",280,280", KaggleProblemCode.TIME),
        ("2013-01-02T00:00:00Z,280,280", KaggleProblemCode.TIME),
        ("2013-01-02 00:30:00,280,280", KaggleProblemCode.NOT_HOURLY),
        ("2013-01-01 05:00:00,280,281", KaggleProblemCode.REPEATED_TIME),
        ("2013-01-02 00:00:00,280", KaggleProblemCode.FIELDS),
        ("2013-01-02 00:00:00,280,280,280", KaggleProblemCode.FIELDS),
        ('2013-01-02 00:00:00,"280,5"', KaggleProblemCode.FIELDS),
        ("2013-01-02 00:00:00,28\0,280", KaggleProblemCode.FIELDS),
    ],
)
def test_one_bad_row_affects_only_itself(tmp_path: Path, line: str, code: KaggleProblemCode) -> None:
    zip_path = make_zip(tmp_path / "k.zip", temperature=table(line))
    read, problems = read_variable(zip_path, "temperature")
    [problem] = problems
    first = "line 26" if code is not KaggleProblemCode.REPEATED_TIME else "line 7"
    assert (problem.file, problem.code, problem.count, problem.first) == ("temperature.csv", code, 1, (first,))
    values = expected()
    if code is KaggleProblemCode.REPEATED_TIME:  # the last row counts
        values[5] = 280, 281
    assert list(read.index) == list(HOURS.tz_localize("UTC"))
    np.testing.assert_allclose(read.to_numpy(), values - 273.15)


@pytest.mark.parametrize(
    ("time", "used", "named"),
    [
        ("2012-09-30 23:00:00", False, True),
        ("2012-10-01 00:00:00", False, False),  # of the data set, but not measured
        ("2012-10-02 23:00:00", False, False),
        ("2012-10-03 00:00:00", True, False),
        ("2017-12-31 23:00:00", True, False),
        ("2018-01-01 00:00:00", False, True),
    ],
)
def test_rows_of_the_measured_years_are_used(tmp_path: Path, time: str, used: bool, named: bool) -> None:
    read, problems = read_variable(make_zip(tmp_path / "k.zip", temperature=table(f"{time},280,280")), "temperature")
    assert (pd.Timestamp(time, tz="UTC") in read.index) == used
    assert [problem.code for problem in problems] == [KaggleProblemCode.TIME_RANGE] * named


@pytest.mark.parametrize("cell", ["warm", "1e999", "-inf", "True"])
def test_a_cell_that_is_not_a_number_is_missing_and_named(tmp_path: Path, cell: str) -> None:
    text = table().replace("2013-01-01 07:00:00,282.0,", f"2013-01-01 07:00:00,{cell},")
    read, [problem] = read_variable(make_zip(tmp_path / "k.zip", temperature=text), "temperature")
    assert (problem.code, problem.first) == (KaggleProblemCode.NUMBER, ("line 9, new-york",))
    values = expected()
    values[7, 0] = np.nan
    np.testing.assert_allclose(read.to_numpy(), values - 273.15)


def test_rows_in_another_order_are_sorted(tmp_path: Path) -> None:
    header, *rows = table().splitlines()
    plain = read_variable(make_zip(tmp_path / "a.zip", temperature=table()), "temperature")
    shuffled = "\r\n".join([f"\ufeff{header}", *np.random.default_rng(1).permutation(rows)])
    other = read_variable(make_zip(tmp_path / "b.zip", temperature=shuffled), "temperature")
    pd.testing.assert_frame_equal(plain.table, other.table)
    assert other.problems == ()


def problems_of(history: KaggleHistory) -> list[tuple[str, KaggleProblemCode, tuple[str, ...]]]:
    return [(problem.file, problem.code, problem.first) for problem in history.problems]


@pytest.mark.parametrize(
    ("header", "code", "column"),
    [
        ("datetime,New York,Bergen", KaggleProblemCode.UNKNOWN_COLUMN, "bergen"),
        ("datetime,New York,", KaggleProblemCode.UNKNOWN_COLUMN, ""),
    ],
)
def test_a_column_of_an_unknown_city_is_not_used(
    tmp_path: Path, header: str, code: KaggleProblemCode, column: str
) -> None:
    history = read_kaggle(make_zip(tmp_path / "k.zip", temperature=table(header=header)))
    assert problems_of(history) == [("temperature.csv", code, (column,))]
    rows = history.table[history.table.station_id == "new-york"]
    np.testing.assert_allclose(rows.temperature, expected()[:, 0] - 273.15)
    assert history.table[history.table.station_id == "oslo"].temperature.isna().all()


def test_several_columns_of_a_city_are_not_used(tmp_path: Path) -> None:
    text = "\n".join(f"{line},{'NEW YORK' if i == 0 else 281}" for i, line in enumerate(table().splitlines()))
    history = read_kaggle(make_zip(tmp_path / "k.zip", temperature=text))
    assert problems_of(history) == [("temperature.csv", KaggleProblemCode.REPEATED_COLUMN, ("new-york",))]
    assert history.table[history.table.station_id == "new-york"].temperature.isna().all()
    oslo = history.table[history.table.station_id == "oslo"].temperature
    np.testing.assert_allclose(oslo, expected()[:, 1] - 273.15)


def test_a_city_in_another_unit_is_not_used(tmp_path: Path) -> None:
    text = "\n".join(
        line if i == 0 else f"{line.rpartition(',')[0]},{i % 7}" for i, line in enumerate(table().splitlines())
    )
    text = "\n".join(f"{line},{'Denver' if i == 0 else 285}" for i, line in enumerate(text.splitlines()))
    cities = f"{ATTRIBUTES}Denver,United States,39.7,-105\n"
    history = read_kaggle(make_zip(tmp_path / "k.zip", temperature=text, city_attributes=cities))
    assert problems_of(history) == [("temperature.csv", KaggleProblemCode.UNIT, ("oslo",))]
    assert set(history.table[history.table.temperature.notna()].station_id) == {"new-york", "denver"}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("Bergen,Norway,north,5", KaggleProblemCode.CITY),
        ("Bergen,Norway,60", KaggleProblemCode.CITY),
        ("Bergen,Norway,160,5", KaggleProblemCode.CITY),
        ("東京,Japan,35,139", KaggleProblemCode.CITY),
        ("oslo,Norway,60,11", KaggleProblemCode.REPEATED_CITY),
        ("New York,United States,40.7,-74", KaggleProblemCode.REPEATED_CITY),
    ],
)
def test_a_bad_row_of_the_cities_affects_only_itself(tmp_path: Path, row: str, code: KaggleProblemCode) -> None:
    history = read_kaggle(
        make_zip(tmp_path / "k.zip", city_attributes=f"{ATTRIBUTES}{row}\nDenver,United States,39.7,-105\n")
    )
    assert problems_of(history) == [("city_attributes.csv", code, ("line 4",))]
    assert [station.station_id for station in history.stations] == ["new-york", "oslo", "denver"]
    assert history.stations[1].latitude == 59.91


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "time,New York\n2013-01-01 00:00:00,1\n",
        "datetime,New York\nyesterday,1\n",
        "datetime,New York\n2150-01-01 00:00:00,1013\n",
        "datetime,Oslo\n2013-01-01 00:00:00,29.92\n",
    ],
)
def test_a_file_that_cannot_be_used_affects_only_its_variable(tmp_path: Path, text: str | None) -> None:
    zip_path = make_zip(tmp_path / "k.zip", pressure=text)
    history = read_kaggle(zip_path)
    assert problems_of(history) == [("pressure.csv", KaggleProblemCode.FILE, ())]
    whole = read_kaggle(make_zip(tmp_path / "whole.zip")).table
    pd.testing.assert_frame_equal(history.table, whole.assign(pressure=np.nan))
    with pytest.raises(SourceError, match=re.escape("pressure.csv")):
        read_variable(zip_path, "pressure")


@pytest.mark.parametrize(("unusable", "used"), [(48, True), (49, False)])
def test_a_file_of_which_more_than_half_of_the_rows_are_unusable_is_refused(
    tmp_path: Path, unusable: int, used: bool
) -> None:
    zip_path = make_zip(tmp_path / "k.zip", temperature=table(*["yesterday,280,280"] * unusable))
    if used:
        assert len(read_variable(zip_path, "temperature").table) == 48
    else:
        with pytest.raises(SourceError, match=re.escape("temperature.csv")):
            read_variable(zip_path, "temperature")


@pytest.mark.parametrize("variable", ["temperature", "pressure"])
def test_a_file_without_values_has_no_unit_to_check(tmp_path: Path, variable: str) -> None:
    text = "datetime,New York,Oslo\n2013-01-01 00:00:00,,\n2013-01-01 01:00:00,,\n"
    values, problems = read_variable(make_zip(tmp_path / "k.zip", **{variable: text}), variable)
    assert values.isna().all().all()
    assert (len(values), problems) == (2, ())


def test_an_hour_that_the_temperature_lacks_is_kept(tmp_path: Path) -> None:
    text = TABLES["pressure"] + "2013-01-01 02:00:00,1015,\n"
    rows = read_kaggle(make_zip(tmp_path / "k.zip", pressure=text)).table
    assert rows[rows.hour == pd.Timestamp("2013-01-01T02:00Z")].pressure.tolist() == [1015]


@pytest.mark.parametrize(
    "cities", [None, "", "Town,Latitude\nOslo,1\n", "City,Country,Latitude,Longitude\nOslo,Norway,north,1\n"]
)
def test_a_zip_without_cities_is_an_error_that_names_the_file(tmp_path: Path, cities: str | None) -> None:
    with pytest.raises(SourceError, match=r"city_attributes\.csv"):
        read_kaggle(make_zip(tmp_path / "k.zip", city_attributes=cities))


def test_a_zip_whose_files_cannot_be_used_is_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read_kaggle(make_zip(tmp_path / "k.zip", **dict.fromkeys(TABLES, "datetime,Oslo\n2150-01-01 00:00:00,1\n")))
    assert all(name in str(caught.value) for name in FILES.values())


def test_a_zip_that_cannot_be_read_at_all_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("not a zip")
    for name in ("none.zip", "text.zip"):
        for read in (read_cities, read_kaggle):
            with pytest.raises(SourceError, match=re.escape(name)):
                read(tmp_path / name)


def test_a_damaged_file_of_the_zip_affects_only_its_variable(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "k.zip").read_bytes()
    # A changed byte of a stored table does not match its checksum.
    flipped = tmp_path / "flipped.zip"
    flipped.write_bytes(whole.replace(b"00,80,", b"00,81,", 1))
    assert problems_of(read_kaggle(flipped)) == [("humidity.csv", KaggleProblemCode.FILE, ())]


def test_the_original_zip_is_read_without_problems(test_data: Path) -> None:
    rows, stations, problems = read_kaggle(test_data / "historical-hourly-weather-data.zip")
    assert problems == ()
    assert {"new-york", "jerusalem"} <= {station.station_id for station in stations}
    assert rows.temperature.dropna().between(-50, 60).all()
    assert not rows.duplicated(["station_id", "hour"]).any()


def test_a_bad_row_in_the_original_zip_changes_no_other_value(test_data: Path, tmp_path: Path) -> None:
    original = test_data / "historical-hourly-weather-data.zip"
    changed = tmp_path / "changed.zip"
    with (
        zipfile.ZipFile(original) as source,
        zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name in FILES.values():
                line = io.BytesIO(content).readlines()[1000]
                content += b"2150" + line[4:]
            target.writestr(name, content)
    history = read_kaggle(changed)
    assert [(problem.code, problem.count) for problem in history.problems] == [(KaggleProblemCode.TIME_RANGE, 1)] * len(
        FILES
    )
    pd.testing.assert_frame_equal(history.table, read_kaggle(original).table)
