"""Response schemas and fields shared by several routes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from weatherglass.record_headers import Origin
from weatherglass.records import (
    UNITS,
    Time,
    iso,
)
from weatherglass.stations import Station
from weatherglass.store.observations import StoredObservation

SOURCE_DESCRIPTIONS = {
    Origin.METAR: "live weather measured by airports",
    Origin.OPEN_METEO: "live weather from Open-Meteo's models",
    Origin.REPLAY: "replay of real observations of the same date and time of an earlier year",
    Origin.SIMULATED: "simulated weather from a generator",
    Origin.KAGGLE: "history from the Kaggle data set",
    Origin.OWN: "live weather measured by your own stations",
}
_SOURCES = "; ".join(f"`{origin.value}`: {text}" for origin, text in SOURCE_DESCRIPTIONS.items())

SourceField = Annotated[
    Origin | None, Field(description=f"Source of the observations. {_SOURCES}.", examples=["open-meteo"])
]
LiveField = Annotated[
    bool, Field(description="True for live weather, false for replayed or simulated data.", examples=[True])
]
UnitsField = Annotated[dict[str, str], Field(description="Unit of each variable.", examples=[UNITS])]


def json_response(content: Any) -> Response:
    """Serialize plain values without validation; times must already be ISO 8601 text.

    The store validates its records when it writes them. Validating each number again and creating model objects would
    take longer than the rest of the request. tests/weatherglass/api/test_contract.py checks that such responses match
    their response models.
    """
    return Response(to_json(content), media_type="application/json")


class StationItem(BaseModel):
    """A station and its location. The location is null for a station that is not in the station table."""

    station_id: str = Field(examples=["new-york"])
    name: str = Field(examples=["New York"])
    country: str | None = Field(examples=["United States"])
    latitude: float | None = Field(description="Degrees north.", examples=[40.7143])
    longitude: float | None = Field(description="Degrees east.", examples=[-74.006])
    elevation: float | None = Field(description="Metres above sea level.", examples=[10])
    timezone: str | None = Field(description="IANA time zone name.", examples=["America/New_York"])
    metar_id: str | None = Field(
        description="ICAO id of the airport or weather station whose reports observe it, while it reports.",
        examples=["KNYC"],
    )


def station_item(station_id: str, station: Station | None) -> dict[str, Any]:
    """The fields of a `StationItem`."""
    if station is None:
        return {**dict.fromkeys(StationItem.model_fields), "station_id": station_id, "name": station_id}
    return {name: getattr(station, name) for name in StationItem.model_fields}


class ObservationItem(BaseModel):
    """An observation. A missing value is null."""

    timestamp: Time = Field(examples=["2026-01-05T12:15:00Z"])
    temperature: float | None = Field(description="°C", examples=[3.2])
    humidity: float | None = Field(description="Relative humidity, %", examples=[81.0])
    pressure: float | None = Field(description="Station pressure, hPa", examples=[1013.6])
    wind_speed: float | None = Field(description="m/s", examples=[4.1])
    wind_direction: float | None = Field(description="Degrees from which the wind blows", examples=[220.0])
    wind_gust: float | None = Field(description="m/s", examples=[9.3])
    temperature_resolution: float | None = Field(
        description="Step in which the temperature is reported, °C; null if unknown.", examples=[0.1]
    )
    source: Origin | None = Field(
        description="Source of this observation. A station can change its source.", examples=["metar"]
    )
    stored_at: Time = Field(description="Time of storage.", examples=["2026-01-05T12:15:03Z"])


def observation_item(stored: StoredObservation) -> dict[str, Any]:
    """The fields of an `ObservationItem`."""
    values = stored.observation
    return {
        "timestamp": iso(values.timestamp),
        "temperature": values.temperature,
        "humidity": values.humidity,
        "pressure": values.pressure,
        "wind_speed": values.wind_speed,
        "wind_direction": values.wind_direction,
        "wind_gust": values.wind_gust,
        "temperature_resolution": values.temperature_resolution,
        "source": stored.source,
        "stored_at": iso(stored.stored_at),
    }
