"""What several routes answer with."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from weatherglass.records import UNITS, Observation, Origin, Time
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


class StationAnswer(BaseModel):
    """A station and its place; nulls where only its readings are known."""

    station_id: str = Field(examples=["new-york"])
    name: str = Field(examples=["New York"])
    country: str | None = Field(examples=["United States"])
    latitude: float | None = Field(description="Degrees north.", examples=[40.7143])
    longitude: float | None = Field(description="Degrees east.", examples=[-74.006])
    elevation: float | None = Field(description="Metres above sea level.", examples=[10])
    timezone: str | None = Field(description="IANA name of the local time.", examples=["America/New_York"])

    @classmethod
    def of(cls, station_id: str, station: Station | None) -> StationAnswer:
        if station is None:
            unknown = dict.fromkeys(("country", "latitude", "longitude", "elevation", "timezone"))
            return cls(station_id=station_id, name=station_id, **unknown)
        return cls.model_validate(station, from_attributes=True)


class Reading(BaseModel):
    """One observation; a missing value is null."""

    timestamp: Time = Field(examples=["2026-01-05T12:15:00Z"])
    temperature: float | None = Field(description="°C", examples=[3.2])
    humidity: float | None = Field(description="Relative, %", examples=[81.0])
    pressure: float | None = Field(description="At the station, hPa", examples=[1013.6])
    wind_speed: float | None = Field(description="m/s", examples=[4.1])
    wind_direction: float | None = Field(description="Degrees from which the wind blows", examples=[220.0])
    stored_at: Time = Field(description="When it came into the store.", examples=["2026-01-05T12:15:03Z"])

    @classmethod
    def of(cls, stored: StoredObservation) -> Reading:
        observation: Observation = stored.observation
        return cls(**observation.model_dump(exclude={"station_id"}), stored_at=stored.stored_at)
