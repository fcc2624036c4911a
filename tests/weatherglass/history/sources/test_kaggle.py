"""Reading Kaggle's zip; errors name the file."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.kaggle import FILES, read_cities, read_kaggle, read_variable

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
    rows, stations = read_kaggle(make_zip(tmp_path / "k.zip"))
    assert tuple(rows.columns) == HISTORY_COLUMNS
    assert [station.station_id for station in stations] == ["new-york", "oslo"]
    assert stations[0].elevation == 10  # from stations.csv
    assert stations[1].elevation is None
    first, second = rows[rows.station_id == "new-york"].itertuples(index=False)
    assert (first.temperature, first.humidity, first.pressure, first.wind_speed) == (0, 80, 1013, 3)
    assert second.temperature == pytest.approx(10)
    assert np.isnan(second.humidity)
    (oslo,) = rows[rows.station_id == "oslo"].itertuples(index=False)  # the hour without a value is omitted
    assert oslo.wind_speed == 5
    assert oslo.hour == pd.Timestamp("2013-01-01T01:00Z")


def test_files_are_found_in_a_folder_of_the_zip(tmp_path: Path) -> None:
    plain = make_zip(tmp_path / "k.zip")
    nested = tmp_path / "nested.zip"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(nested, "w") as target:
        for name in source.namelist():
            target.writestr(f"archive/{name}", source.read(name))
    pd.testing.assert_frame_equal(read_kaggle(plain)[0], read_kaggle(nested)[0])


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"pressure": None}, "pressure.csv"),
        ({"humidity": "time,New York\n2013-01-01 00:00:00,1\n"}, "humidity.csv"),
        ({"humidity": "datetime,New York\n2013-01-01 00:00:00,wet\n"}, "humidity.csv"),
        ({"humidity": "datetime,New York\nyesterday,1\n"}, "humidity.csv"),
        ({"city_attributes": "Town,Latitude\nOslo,1\n"}, "City"),
        ({"city_attributes": "City,Country,Latitude,Longitude\nOslo,Norway,north,1\n"}, "city_attributes.csv"),
        ({"temperature": "datetime,Oslo\n2013-01-01 00:00:00,15.3\n"}, "15.3"),
        ({"pressure": "datetime,Oslo\n2013-01-01 00:00:00,29.92\n"}, "29.92"),
        ({"humidity": "datetime,Oslo\n2013-01-01 00:00:00,0.8\n"}, "0.8"),
        ({"humidity": "datetime,Bergen\n2013-01-01 00:00:00,80\n"}, "bergen"),
    ],
)
def test_an_invalid_file_is_an_error_that_names_it(tmp_path: Path, changed: dict[str, str | None], name: str) -> None:
    with pytest.raises(SourceError, match=re.escape(name)):
        read_kaggle(make_zip(tmp_path / "k.zip", **changed))


def test_a_missing_or_damaged_zip_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.zip"):
        read_cities(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(SourceError, match=r"text\.zip"):
        read_cities(tmp_path / "text.zip")
    whole = make_zip(tmp_path / "k.zip").read_bytes()
    # A changed byte of a stored table does not match its checksum.
    (tmp_path / "flipped.zip").write_bytes(whole.replace(b"00,80,", b"00,81,", 1))
    with pytest.raises(SourceError, match=r"flipped\.zip.*humidity\.csv"):
        read_variable(tmp_path / "flipped.zip", "humidity")


def test_the_original_zip_is_read(test_data: Path) -> None:
    rows, stations = read_kaggle(test_data / "historical-hourly-weather-data.zip")
    assert {"new-york", "jerusalem"} <= {station.station_id for station in stations}
    assert rows.temperature.dropna().between(-50, 60).all()
    assert not rows.duplicated(["station_id", "hour"]).any()
