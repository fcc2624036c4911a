"""Adds own stations to the station table of a test."""

from __future__ import annotations

from weatherglass.cli.stations import add
from weatherglass.settings import Settings


def add_own_station(settings: Settings, station_id: str, elevation: str = "") -> None:
    """Add a station that only its own records observe."""
    fields = {"name": station_id.title(), "latitude": "59.91", "longitude": "10.75", "timezone": "Europe/Oslo"}
    assert add(settings, {"station_id": station_id, **fields, "elevation": elevation}) == 0
