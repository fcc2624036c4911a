"""What routes ask for: the store, the time, a station, checked parameters."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime, WithJsonSchema
from sqlalchemy import Connection, Engine

from weatherglass.api.problems import Problem
from weatherglass.records import Origin, iso
from weatherglass.settings import Settings, Source
from weatherglass.stations import Station, known_stations
from weatherglass.store import observations, predictions


# Not to wait for anything: a thread for each of these would cost more than what they do.
async def _settings(request: Request) -> Settings:
    return request.app.state.settings


async def _now(request: Request) -> datetime:
    return request.app.state.clock()


async def _engine(request: Request) -> Engine:
    return request.app.state.store


def _connection(request: Request) -> Iterator[Connection]:
    with request.app.state.store.connect() as connection:
        yield connection


SettingsDep = Annotated[Settings, Depends(_settings)]
NowDep = Annotated[datetime, Depends(_now)]
EngineDep = Annotated[Engine, Depends(_engine)]
ConnectionDep = Annotated[Connection, Depends(_connection)]


def _to_utc(time: datetime) -> datetime:
    if not 1900 <= time.year <= 2200:
        raise ValueError("the year must lie between 1900 and 2200")
    return time.astimezone(UTC)


UtcTime = Annotated[
    AwareDatetime,
    AfterValidator(_to_utc),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(19\d\d|20\d\d|21\d\d)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$",
            "examples": ["2026-01-05T12:00:00Z"],
        }
    ),
]
"""A time with its zone, in which arithmetic cannot overflow."""

FromTime = Annotated[UtcTime | None, Query(alias="from", description="From this time on.")]
ToTime = Annotated[UtcTime | None, Query(alias="to", description="Up to, but without, this time; now if left out.")]


def resolve_range(
    start: datetime | None, end: datetime | None, now: datetime, usual: timedelta, longest: timedelta
) -> tuple[datetime, datetime]:
    """[start, end) with what was left out filled in; a problem where it is empty or longer than allowed."""
    # A reading of this very moment belongs to "up to now".
    end = end or now + timedelta(seconds=1)
    start = start or end - usual
    if not timedelta() < end - start <= longest:
        raise Problem(
            422,
            "Invalid range",
            f"from {iso(start)} must lie before to {iso(end)}, and by at most {longest.days} days",
        )
    return start, end


STATION_PATTERN = r"^[^\x00-\x1f\x7f/]+$"
StationIdPath = Annotated[
    str, Path(max_length=100, pattern=STATION_PATTERN, description="As in `/stations`.", examples=["new-york"])
]


def located_stations(settings: Settings) -> Mapping[str, Station]:
    """The stations whose place is known: those of Weatherglass, and those of the prepared history."""
    try:
        changed = (settings.history_dir / "stations.json").stat().st_mtime_ns
    except FileNotFoundError:
        return known_stations()
    return _with_history_stations(settings.history_dir, changed)


@lru_cache(maxsize=2)
def _with_history_stations(folder: FilePath, changed: int) -> Mapping[str, Station]:  # noqa: ARG001 (read anew when it changes)
    from weatherglass.history.prepared import read_stations  # brings pandas, which few installations need here

    return known_stations() | {station.station_id: station for station in read_stations(folder)}


def require_known_station(station_id: StationIdPath, store: ConnectionDep, settings: SettingsDep) -> str:
    """A station that is known by its place or by its observations; else a problem with the nearest names."""
    described = located_stations(settings)
    if station_id in described or observations.latest(store, station_id) or predictions.latest_row(store, station_id):
        return station_id
    names = {*described, *observations.latest_all(store)}
    near = difflib.get_close_matches(station_id.lower().replace(" ", "-"), sorted(names), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "/stations lists them"
    raise Problem(404, "Unknown station", f"there is no station {station_id!r}; {hint}", near=near)


KnownStationId = Annotated[str, Depends(require_known_station)]


def source_of(stored: Origin | None, settings: Settings) -> Origin | None:
    """Where a record comes from: as it was stored, else as the settings fix it, else unknown."""
    if stored is None and settings.source is not Source.AUTO:
        return Origin(settings.source.value)
    return stored
