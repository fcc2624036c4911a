"""The station table."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings
from weatherglass.stations import Network, kaggle_network, known_stations, network_stations, station_id_of


def test_every_station_is_a_place_on_earth() -> None:
    for station in known_stations().values():
        assert -90 <= station.latitude <= 90
        assert -180 <= station.longitude <= 180
        assert station.elevation is not None
        assert -430 < station.elevation < 5_000
        assert ZoneInfo(station.timezone)
        assert station.station_id == station_id_of(station.station_id)


def test_the_live_network_fits_the_free_budget_at_the_default_rate() -> None:
    polls = 24 * 60 / Settings.model_fields["poll_minutes"].default
    assert len(network_stations(Network.LIVE)) * polls <= OPEN_METEO_CALLS_PER_DAY


def test_every_live_station_has_history() -> None:
    assert set(network_stations(Network.LIVE)) <= set(network_stations(Network.KAGGLE))


@pytest.mark.parametrize(
    ("name", "expected"), [("New York", "new-york"), ("Montréal ", "montreal"), ("St. John's", "st-john-s")]
)
def test_ids_are_plain(name: str, expected: str) -> None:
    assert station_id_of(name) == expected


@given(st.text())
def test_an_id_is_its_own_id(name: str) -> None:
    assert station_id_of(station_id_of(name)) == station_id_of(name)


def test_a_city_that_nobody_knows_is_taken_as_the_zip_describes_it() -> None:
    rows = [
        {"City": "Denver", "Country": "United States", "Latitude": "39.7", "Longitude": "-105"},
        {"City": "Ålesund", "Country": "Norway", "Latitude": "62.47", "Longitude": "6.15"},
    ]
    denver, alesund = kaggle_network(rows)
    assert denver is known_stations()["denver"]
    assert (alesund.station_id, alesund.elevation, alesund.latitude) == ("alesund", None, 62.47)
