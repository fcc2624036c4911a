"""`GET /predictions/{station_id}`"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import (
    Now,
    SettingsOf,
    StationName,
    StoreEngine,
    described_stations,
    known_station,
    origin_of,
)
from weatherglass.api.problems import Problem, responses
from weatherglass.api.schemas import LiveField, SourceField, StationAnswer, UnitsField, json_of, place_of
from weatherglass.records import UNITS, VARIABLES, Anomaly, Method, Origin, Time, iso
from weatherglass.settings import Settings
from weatherglass.store import predictions

router = APIRouter(tags=["predictions"])


class ForecastResponse(StrEnum):
    """What is forecast."""

    TEMPERATURE = "temperature"
    HUMIDITY = "humidity"
    PRESSURE = "pressure"
    WIND_SPEED = "wind_speed"


class Value(BaseModel):
    """A forecast value between the bounds of its interval."""

    value: float = Field(examples=[3.6])
    lower: float = Field(examples=[2.4])
    upper: float = Field(examples=[4.9])


class Lead(BaseModel):
    """The forecast for one full hour."""

    valid_time: Time = Field(description="The hour that is forecast.", examples=["2026-01-05T13:00:00Z"])
    hours_ahead: float = Field(description="From the observation to the valid time, hours.", examples=[0.75])
    temperature: Value = Field(description="°C")
    humidity: Value = Field(description="Relative, %")
    pressure: Value = Field(description="At the station, hPa")
    wind_speed: Value = Field(description="m/s")


class LatestPrediction(BaseModel):
    station: StationAnswer
    timestamp: Time = Field(description="Time of the observation it answers.", examples=["2026-01-05T12:15:00Z"])
    stored_at: Time = Field(description="When it came into the store.", examples=["2026-01-05T12:15:04Z"])
    age_seconds: float = Field(description="Time since the observation it answers.", examples=[42.0])
    source: SourceField
    live: LiveField
    model_version: str = Field(description="The version that made it.", examples=["7"])
    method: Method = Field(description="How it was made; anything but `model` is a fallback, with wider intervals.")
    interval_level: float = Field(description="Share of the truth that the intervals should hold.", examples=[0.9])
    history_hours: int = Field(description="Hours of the station's own past the forecast could see.", examples=[72])
    units: UnitsField
    leads: list[Lead] = Field(description="In the order of their valid times.")
    anomaly: Anomaly = Field(description="The verdict on the observation.")


@router.get(
    "/predictions/{station_id}",
    summary="The latest prediction of a station",
    responses=responses(404, 422, 503),
    response_model=LatestPrediction,
)
def latest_prediction(station_id: StationName, store: StoreEngine, settings: SettingsOf, now: Now) -> Response:
    """All leads with their intervals, and whether the newest reading can be trusted."""
    # The answer asked for most: all in this thread, since the ways to a connection's and a station's cost more than it.
    with store.connect() as connection:
        row = predictions.newest(connection, station_id)
        if row is None:
            known_station(station_id, connection, settings)
            raise nothing_yet("prediction", station_id, settings)
    source = origin_of(row.source and Origin(row.source), settings)
    return json_of(
        {
            "station": place_of(station_id, described_stations(settings).get(station_id)),
            "timestamp": iso(row.timestamp),
            "stored_at": iso(row.stored_at),
            "age_seconds": (now - row.timestamp).total_seconds(),
            "source": source,
            "live": source is Origin.OPEN_METEO,
            "model_version": row.model_version,
            "method": row.method,
            "interval_level": row.confidence["level"],
            "history_hours": row.confidence["history_hours"],
            "units": UNITS,
            "leads": [
                {
                    "valid_time": valid_time,
                    "hours_ahead": (datetime.fromisoformat(valid_time) - row.timestamp).total_seconds() / 3600,
                    **values,
                }
                for valid_time, values in hours(row.predictions, row.confidence)
            ],
            "anomaly": row.anomaly,
        }
    )


def hours(
    predicted: dict[str, Any], confidence: dict[str, Any], names: tuple[str, ...] = VARIABLES
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each valid time of a stored prediction, ISO 8601, with a `Value` of each of these variables."""
    paths = (
        [
            {"value": value, "lower": lower, "upper": upper}
            for value, lower, upper in zip(
                predicted[name], confidence["lower"][name], confidence["upper"][name], strict=True
            )
        ]
        for name in names
    )
    for valid_time, *values in zip(predicted["valid_times"], *paths, strict=True):
        yield valid_time, dict(zip(names, values, strict=True))


def nothing_yet(what: str, station_id: str, settings: Settings) -> Problem:
    """There is such a station, but it has sent nothing; says when to look again."""
    seconds = settings.poll_minutes * 60
    detail = (
        f"{station_id} has no {what} yet. If it is among the observed stations, expect the first within "
        f"{settings.poll_minutes} min of the pipeline's start; /health says whether the pipeline runs"
    )
    return Problem(404, "Nothing yet", detail, {"Retry-After": str(seconds)}, expected_within_seconds=seconds)
