"""The station table."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings
from weatherglass.stations import Network, kaggle_network, known_stations, network_stations, station_id_of


def test_coordinates_elevations_time_zones_and_ids_are_valid() -> None:
    for station in known_stations().values():
        assert -90 <= station.latitude <= 90
        assert -180 <= station.longitude <= 180
        assert station.elevation is not None
        assert -430 < station.elevation < 5_000
        assert ZoneInfo(station.timezone)
        assert station.station_id == station_id_of(station.station_id)


def test_polling_the_live_network_at_the_default_interval_is_within_the_free_limit() -> None:
    polls = 24 * 60 / Settings.model_fields["poll_minutes"].default
    assert len(network_stations(Network.LIVE)) * polls <= OPEN_METEO_CALLS_PER_DAY


def test_every_live_station_is_in_the_kaggle_data_set() -> None:
    assert set(network_stations(Network.LIVE)) <= set(network_stations(Network.KAGGLE))


@pytest.mark.parametrize(
    ("name", "expected"), [("New York", "new-york"), ("Montréal ", "montreal"), ("St. John's", "st-john-s")]
)
def test_station_ids_are_ascii_words_joined_by_dashes(name: str, expected: str) -> None:
    assert station_id_of(name) == expected


@given(st.text())
def test_the_id_of_an_id_is_the_same_id(name: str) -> None:
    assert station_id_of(station_id_of(name)) == station_id_of(name)


def test_an_unknown_city_gets_the_coordinates_of_the_zip() -> None:
    rows = [
        {"City": "Denver", "Country": "United States", "Latitude": "39.7", "Longitude": "-105"},
        {"City": "Ålesund", "Country": "Norway", "Latitude": "62.47", "Longitude": "6.15"},
    ]
    denver, alesund = kaggle_network(rows)
    assert denver is known_stations()["denver"]
    assert (alesund.station_id, alesund.elevation, alesund.latitude) == ("alesund", None, 62.47)
