"""What routes ask for: the store, the time, a station, checked parameters."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Request
from pydantic import AfterValidator, AwareDatetime
from sqlalchemy import Connection

from plugins.api.problems import Problem
from weatherglass.records import Origin
from weatherglass.settings import Settings, Source
from weatherglass.stations import Station, known_stations
from weatherglass.store import observations, predictions


def _settings(request: Request) -> Settings:
    return request.app.state.settings


def _now(request: Request) -> datetime:
    return request.app.state.clock()


def _store(request: Request) -> Iterator[Connection]:
    with request.app.state.store.connect() as connection:
        yield connection


SettingsOf = Annotated[Settings, Depends(_settings)]
Now = Annotated[datetime, Depends(_now)]
Store = Annotated[Connection, Depends(_store)]


def _sensible(time: datetime) -> datetime:
    if not 1900 <= time.year <= 2200:
        raise ValueError("the year must lie between 1900 and 2200")
    return time.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_sensible)]
"""A time with its zone, in which arithmetic cannot overflow."""

STATION_PATTERN = r"^[^\x00-\x1f\x7f/]+$"
StationName = Annotated[
    str, Path(max_length=100, pattern=STATION_PATTERN, description="As in `/stations`.", examples=["new-york"])
]


def described_stations(settings: Settings) -> dict[str, Station]:
    """The stations whose place is known: those of Weatherglass, and those of the prepared history."""
    described = dict(known_stations())
    if (settings.history_dir / "stations.json").exists():
        from weatherglass.history import read_stations  # brings pandas, which few installations need here

        described |= {station.station_id: station for station in read_stations(settings.history_dir)}
    return described


def _station(station_id: StationName, store: Store, settings: SettingsOf) -> str:
    """A station that is known by its place or by its observations; else a problem with the nearest names."""
    described = described_stations(settings)
    if station_id in described or observations.latest(store, station_id) or predictions.latest(store, station_id):
        return station_id
    names = {*described, *observations.latest_all(store)}
    near = difflib.get_close_matches(station_id.lower().replace(" ", "-"), sorted(names), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "/stations lists them"
    raise Problem(404, "Unknown station", f"there is no station {station_id!r}; {hint}", near=near)


StationId = Annotated[str, Depends(_station)]


def origin_of(stored: Origin | None, settings: Settings) -> Origin | None:
    """Where a record comes from: as it was stored, else as the settings fix it, else unknown."""
    if stored is None and settings.source is not Source.AUTO:
        return Origin(settings.source.value)
    return stored
