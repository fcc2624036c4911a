"""`GET /stations`"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import Now, SettingsOf, Store, described_stations, origin_of
from weatherglass.api.problems import responses
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
from weatherglass.records import UNITS, VARIABLES, Method, Origin, Time, iso
from weatherglass.store import observations, predictions

router = APIRouter(tags=["stations"])


class Extremes(BaseModel):
    """The least and the greatest forecast value of all leads."""

    least: float = Field(examples=[1.2])
    greatest: float = Field(examples=[5.8])


class Ahead(BaseModel):
    """What the latest prediction expects over its leads."""

    temperature: Extremes = Field(description="°C")
    humidity: Extremes = Field(description="Relative, %")
    pressure: Extremes = Field(description="At the station, hPa")
    wind_speed: Extremes = Field(description="m/s")
    until: Time = Field(description="The last hour that is forecast.", examples=["2026-01-06T12:00:00Z"])
    model_version: str = Field(examples=["7"])
    method: Method


class ObservedStation(BaseModel):
    station: StationAnswer
    newest: ReadingResponse | None = Field(description="The newest observation.")
    age_seconds: float | None = Field(description="Age of the newest observation, by its own time.", examples=[42.0])
    arrived_seconds: float | None = Field(
        description="Since the newest observation came in: what is replayed is old by its own time.", examples=[12.0]
    )
    source: SourceField
    live: LiveField
    forecast_of: Time | None = Field(
        description="Time of the observation that the latest prediction answers.", examples=["2026-01-05T12:15:00Z"]
    )
    is_anomaly: bool | None = Field(description="Whether that observation is flagged; null before any prediction.")
    reasons: list[str] = Field(description="Why it is flagged.", examples=[[]])
    ahead: Ahead | None


class StationsResponse(BaseModel):
    units: UnitsField
    stations: list[ObservedStation]


@router.get(
    "/stations",
    summary="The stations and their newest readings",
    responses=responses(503),
    response_model=StationsResponse,
)
def list_stations(store: Store, settings: SettingsOf, now: Now) -> Response:
    """All stations that have been observed or forecast, in the order of their names; empty before the first reading."""
    described = described_stations(settings)
    observed = observations.latest_all(store)
    columns = ("station_id", "timestamp", "source", "is_anomaly", "anomaly", "predictions")
    predicted = {row.station_id: row for row in predictions.newest_of_all(store, *columns)}
    rows = []
    for station_id in observed.keys() | predicted.keys():
        reading, prediction = observed.get(station_id), predicted.get(station_id)
        row = reading or prediction
        source = origin_of(Origin(row.source) if row and row.source else None, settings)
        rows.append(
            {
                "station": place_of(station_id, described.get(station_id)),
                "newest": reading and reading_of(reading),
                "age_seconds": reading and (now - reading.observation.timestamp).total_seconds(),
                "arrived_seconds": reading and (now - reading.stored_at).total_seconds(),
                "source": source,
                "live": source is Origin.OPEN_METEO,
                "forecast_of": prediction and iso(prediction.timestamp),
                "is_anomaly": prediction and prediction.is_anomaly,
                "reasons": prediction.anomaly["reasons"] if prediction else [],
                "ahead": prediction and _ahead(prediction.predictions),
            }
        )
    return json_of({"units": UNITS, "stations": sorted(rows, key=lambda row: row["station"]["name"])})


def _ahead(forecast: dict[str, Any]) -> dict[str, Any]:
    """An `Ahead`."""
    return {
        **{name: {"least": min(forecast[name]), "greatest": max(forecast[name])} for name in VARIABLES},
        "until": forecast["valid_times"][-1],
        "model_version": forecast["model_version"],
        "method": forecast["method"],
    }
