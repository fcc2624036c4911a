"""Adds own stations to the station table of a test."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import TestBroker, make_settings
from weatherglass.cli.stations import add
from weatherglass.settings import Settings


def add_own_station(settings: Settings, station_id: str, elevation: str = "") -> None:
    """Add a station that only its own records observe."""
    fields = {"name": station_id.title(), "latitude": "59.91", "longitude": "10.75", "timezone": "Europe/Oslo"}
    assert add(settings, {"station_id": station_id, **fields, "elevation": elevation}) == 0


def settings_with_own_stations(folder: Path, broker: TestBroker) -> Settings:
    """Settings with a broker and the stations `garden`, whose elevation is 120 m, and `roof`, without an elevation."""
    settings = make_settings(folder / "state", kafka_bootstrap=broker.bootstrap_servers)
    add_own_station(settings, "garden", "120")
    add_own_station(settings, "roof")
    return settings
