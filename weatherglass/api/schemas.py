"""What several routes answer with."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from weatherglass.records import UNITS, Origin, Time, iso
from weatherglass.stations import Station
from weatherglass.store.observations import StoredObservation

SOURCES = {
    Origin.OPEN_METEO: "live: as Open-Meteo gives it",
    Origin.REPLAY: "replayed: real observations of the same date and time of an earlier year",
    Origin.SIMULATED: "simulated: made by a generator, not observed",
    Origin.KAGGLE: "history: from Kaggle's data set",
}

SourceField = Annotated[
    Origin | None,
    Field(
        description="Where the observations come from: " + "; ".join(f"`{o.value}` {w}" for o, w in SOURCES.items()),
        examples=["open-meteo"],
    ),
]
LiveField = Annotated[
    bool, Field(description="Whether this is the present weather, not replayed nor simulated.", examples=[True])
]
UnitsField = Annotated[dict[str, str], Field(description="Unit of each variable.", examples=[UNITS])]


def json_of(content: Any) -> Response:
    """An answer of plain values, its times as text already.

    What the store gives was checked when it came: to check each number again, and to make an object of it, would take
    longer than all the rest. That such an answer is as its model says is for the tests of the contract.
    """
    return Response(to_json(content), media_type="application/json")


class StationAnswer(BaseModel):
    """A station and its place; nulls where only its readings are known."""

    station_id: str = Field(examples=["new-york"])
    name: str = Field(examples=["New York"])
    country: str | None = Field(examples=["United States"])
    latitude: float | None = Field(description="Degrees north.", examples=[40.7143])
    longitude: float | None = Field(description="Degrees east.", examples=[-74.006])
    elevation: float | None = Field(description="Metres above sea level.", examples=[10])
    timezone: str | None = Field(description="IANA name of the local time.", examples=["America/New_York"])


def place_of(station_id: str, station: Station | None) -> dict[str, Any]:
    """A `StationAnswer`."""
    if station is None:
        return {**dict.fromkeys(StationAnswer.model_fields), "station_id": station_id, "name": station_id}
    return {name: getattr(station, name) for name in StationAnswer.model_fields}


class ReadingResponse(BaseModel):
    """One observation; a missing value is null."""

    timestamp: Time = Field(examples=["2026-01-05T12:15:00Z"])
    temperature: float | None = Field(description="°C", examples=[3.2])
    humidity: float | None = Field(description="Relative, %", examples=[81.0])
    pressure: float | None = Field(description="At the station, hPa", examples=[1013.6])
    wind_speed: float | None = Field(description="m/s", examples=[4.1])
    wind_direction: float | None = Field(description="Degrees from which the wind blows", examples=[220.0])
    stored_at: Time = Field(description="When it came into the store.", examples=["2026-01-05T12:15:03Z"])


def reading_of(stored: StoredObservation) -> dict[str, Any]:
    """A `ReadingResponse`."""
    values = stored.observation
    return {
        "timestamp": iso(values.timestamp),
        "temperature": values.temperature,
        "humidity": values.humidity,
        "pressure": values.pressure,
        "wind_speed": values.wind_speed,
        "wind_direction": values.wind_direction,
        "stored_at": iso(stored.stored_at),
    }
