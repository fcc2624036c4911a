"""FastAPI dependencies of the routes: settings, time, store, station and validated parameters."""

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

from weatherglass.api.problems import INVALID_RANGE, UNKNOWN_STATION, Problem
from weatherglass.record_headers import Origin, origin_of
from weatherglass.records import (
    EARLIEST,
    LATEST,
    StationId,
    iso,
)
from weatherglass.settings import Settings, Source
from weatherglass.stations import Station, known_stations
from weatherglass.store import observations, predictions


# Coroutines although they await nothing: FastAPI runs plain functions in a thread pool, which costs more than the call.
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


def to_utc(time: datetime) -> datetime:
    """Convert a time with a UTC offset to UTC.

    Raises:
        ValueError: it is outside the range of records.
    """
    if not EARLIEST <= time < LATEST:
        raise ValueError(f"the time must be from {iso(EARLIEST)} on and before {iso(LATEST)}")
    return time.astimezone(UTC)


UtcTime = Annotated[
    AwareDatetime,
    AfterValidator(to_utc),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(19\d\d|20\d\d|21\d\d)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$",
            "examples": ["2026-01-05T12:00:00Z"],
        }
    ),
]
"""A time with a UTC offset, converted to UTC and limited to years in which time arithmetic cannot overflow."""

FromTime = Annotated[UtcTime | None, Query(alias="from", description="Start of the range, inclusive.")]
ToTime = Annotated[UtcTime | None, Query(alias="to", description="End of the range, exclusive. Default: now.")]


def resolve_range(
    start: datetime | None, end: datetime | None, now: datetime, default_span: timedelta, max_span: timedelta
) -> tuple[datetime, datetime]:
    """The range [start, end) with defaults filled in.

    Raises:
        Problem: `invalid_range` if the range is empty or longer than `max_span`.
    """
    # One second more than now, so that the default range includes an observation of this second.
    end = end or now + timedelta(seconds=1)
    start = start or end - default_span
    if not timedelta() < end - start <= max_span:
        detail = f"'from' ({iso(start)}) must be before 'to' ({iso(end)}), by at most {max_span.days} days."
        raise Problem(INVALID_RANGE, detail)
    return start, end


StationIdPath = Annotated[StationId, Path(description="Station id, as returned by `/stations`.", examples=["new-york"])]


def located_stations(settings: Settings) -> Mapping[str, Station]:
    """The stations with a known location: those of the station table and those of the prepared history."""
    known = known_stations(settings)
    try:
        modified = (settings.history_dir / "stations.json").stat().st_mtime_ns
    except FileNotFoundError:
        return known
    return {**_history_stations(settings.history_dir, modified), **known}


@lru_cache(maxsize=2)
def _history_stations(folder: FilePath, modified: int) -> Mapping[str, Station]:  # noqa: ARG001 (cache key)
    from weatherglass.history.prepared import history_stations  # imports NumPy, which others do not need here

    return history_stations(folder)


def require_known_station(station_id: StationIdPath, store: ConnectionDep, settings: SettingsDep) -> str:
    """The id of a station that has a location, an observation or a prediction.

    Raises:
        Problem: `unknown_station` with similar ids in the member `near`.
    """
    located = located_stations(settings)
    if station_id in located or observations.latest(store, station_id) or predictions.latest_row(store, station_id):
        return station_id
    known_ids = {*located, *observations.latest_all(store)}
    near = difflib.get_close_matches(station_id.lower().replace(" ", "-"), sorted(known_ids), n=3)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See /stations."
    raise Problem(UNKNOWN_STATION, f"Unknown station {station_id!r}. {hint}", near=near)


StationQuery = Annotated[StationId | None, Query(description="Only this station.")]
KnownStationId = Annotated[str, Depends(require_known_station)]


def source_of(stored: Origin | None, settings: Settings) -> Origin | None:
    """The source of a record: as stored, else the configured source, else None if the source is `auto`."""
    if stored is None and settings.source is not Source.AUTO:
        return origin_of(settings.source)
    return stored
