"""`GET /observations` and `GET /observations/{station_id}`"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from weatherglass.api.csv_response import CSV, AsCsv, csv_of
from weatherglass.api.dependencies import (
    FromTime,
    Now,
    SettingsOf,
    StationId,
    Store,
    ToTime,
    checked_range,
    described_stations,
    origin_of,
)
from weatherglass.api.problems import responses
from weatherglass.api.routes.predictions import nothing_yet
from weatherglass.api.schemas import (
    LiveField,
    ReadingResponse,
    SourceField,
    StationAnswer,
    UnitsField,
    json_of,
    place_of,
    reading_of,
)
from weatherglass.records import UNITS, Origin, Time, iso
from weatherglass.store import observations, sparklines

router = APIRouter(tags=["observations"])

DEFAULT_SPAN = timedelta(hours=24)
LONGEST_SPAN = timedelta(days=31)


class StationObservation(StrEnum):
    """What a station observes."""

    TEMPERATURE = "temperature"
    HUMIDITY = "humidity"
    PRESSURE = "pressure"
    WIND_SPEED = "wind_speed"
    WIND_DIRECTION = "wind_direction"


class Readings(BaseModel):
    station: StationAnswer
    start: Time = Field(examples=["2026-01-04T12:15:42Z"])
    end: Time = Field(examples=["2026-01-05T12:15:42Z"])
    source: SourceField
    live: LiveField
    units: UnitsField
    observations: list[ReadingResponse]


class RecentSeries(BaseModel):
    """One variable of one station; the two lists belong together, oldest first."""

    station_id: str = Field(examples=["new-york"])
    times: list[Time] = Field(examples=[["2026-01-05T12:00:00Z", "2026-01-05T12:15:00Z"]])
    values: list[float | None] = Field(examples=[[3.1, 3.2]])


class RecentReadings(BaseModel):
    variable: StationObservation
    unit: str = Field(examples=["°C"])
    hours: int = Field(examples=[24])
    stations: list[RecentSeries]


@router.get(
    "/observations",
    summary="The last hours of one variable, all stations",
    responses=responses(422, 503),
    response_model=RecentReadings,
)
def recent_observations(
    store: Store,
    variable: Annotated[StationObservation, Query()] = StationObservation.TEMPERATURE,
    hours: Annotated[int, Query(ge=1, le=72, description="Back from the newest observation of any station.")] = 24,
) -> Response:
    """For small pictures of many stations. The hours end at the newest observation, so a replay has its own past."""
    newest = observations.latest_all(store)
    found: dict = {}
    if newest:
        last = max(row.observation.timestamp for row in newest.values())
        end = last + timedelta(seconds=1)
        found = sparklines.series(store, variable.value, end - timedelta(hours=hours), end, list(newest))
    stations = [
        {"station_id": name, "times": [iso(time) for time, _ in rows], "values": [value for _, value in rows]}
        for name, rows in found.items()
    ]
    return json_of({"variable": variable, "unit": UNITS[variable.value], "hours": hours, "stations": stations})


@router.get(
    "/observations/{station_id}",
    summary="The observations of a station",
    responses={200: CSV, **responses(404, 422, 503)},
    response_model=Readings,
)
def observations_of(
    station_id: StationId,
    store: Store,
    settings: SettingsOf,
    now: Now,
    as_csv: AsCsv,
    start: FromTime = None,
    end: ToTime = None,
) -> Response:
    """The observations in [from, to), oldest first; at most 31 days in one answer, by default the last 24 hours."""
    start, end = checked_range(start, end, now, DEFAULT_SPAN, LONGEST_SPAN)
    newest = observations.latest(store, station_id)
    if newest is None:
        raise nothing_yet("observation", station_id, settings)
    source = origin_of(newest.source, settings)
    rows = observations.history(store, station_id, start, end)
    if as_csv:
        named = ({"station_id": station_id, **reading_of(row)} for row in rows)
        return csv_of(("station_id", *ReadingResponse.model_fields), named)
    return json_of(
        {
            "station": place_of(station_id, described_stations(settings).get(station_id)),
            "start": iso(start),
            "end": iso(end),
            "source": source,
            "live": source is Origin.OPEN_METEO,
            "units": UNITS,
            "observations": [reading_of(row) for row in rows],
        }
    )
