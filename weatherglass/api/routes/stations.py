"""`GET /stations`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import Row

from weatherglass.api.dependencies import ConnectionDep, NowDep, SettingsDep, located_stations, source_of
from weatherglass.api.problems import error_responses
from weatherglass.api.schemas import (
    LiveField,
    ObservationItem,
    SourceField,
    StationItem,
    UnitsField,
    json_response,
    observation_item,
    station_item,
)
from weatherglass.record_headers import LIVE_ORIGINS
from weatherglass.records import (
    UNITS,
    VARIABLES,
    Method,
    Time,
    iso,
)
from weatherglass.store import observations, predictions
from weatherglass.store.readable import read_row, stored_origin

router = APIRouter(tags=["stations"])


class ForecastRangeItem(BaseModel):
    """Minimum and maximum of the forecast values of all leads."""

    least: float = Field(examples=[1.2])
    greatest: float = Field(examples=[5.8])


class ForecastSummaryItem(BaseModel):
    """Range of each variable over all leads of the latest prediction."""

    temperature: ForecastRangeItem = Field(description="°C")
    humidity: ForecastRangeItem = Field(description="Relative humidity, %")
    pressure: ForecastRangeItem = Field(description="Station pressure, hPa")
    wind_speed: ForecastRangeItem = Field(description="m/s")
    until: Time = Field(description="Last valid time of the forecast.", examples=["2026-01-06T12:00:00Z"])
    model_version: str = Field(examples=["7"])
    method: Method


class StationSummaryItem(BaseModel):
    """A station with its newest observation and a summary of its latest forecast."""

    station: StationItem
    newest: ObservationItem | None = Field(description="The newest observation.")
    age_seconds: float | None = Field(description="Seconds since the time of the newest observation.", examples=[42.0])
    arrived_seconds: float | None = Field(
        description="Seconds since the newest observation was stored. Differs from `age_seconds` in a replay.",
        examples=[12.0],
    )
    source: SourceField
    live: LiveField
    forecast_of: Time | None = Field(
        description="Time of the observation that the latest prediction is based on.", examples=["2026-01-05T12:15:00Z"]
    )
    is_anomaly: bool | None = Field(description="Whether this observation is flagged; null without a prediction.")
    reasons: list[str] = Field(description="Why it is flagged.", examples=[[]])
    ahead: ForecastSummaryItem | None = Field(description="Summary of the forecast; null without a prediction.")


class StationsResponse(BaseModel):
    units: UnitsField
    stations: list[StationSummaryItem]


NO_FORECAST: dict[str, Any] = {"forecast_of": None, "is_anomaly": None, "reasons": [], "ahead": None}


@router.get(
    "/stations",
    summary="List stations with their newest observations",
    responses=error_responses(503),
    response_model=StationsResponse,
)
def list_stations(store: ConnectionDep, settings: SettingsDep, now: NowDep) -> Response:
    """All stations with an observation or a prediction, ordered by name."""
    described = located_stations(settings)
    observed = observations.latest_all(store)
    columns = ("station_id", "timestamp", "source", "is_anomaly", "anomaly", "predictions")
    predicted = {row.station_id: row for row in predictions.latest_columns(store, *columns)}
    rows = []
    for station_id in observed.keys() | predicted.keys():
        reading, prediction = observed.get(station_id), predicted.get(station_id)
        row = reading or prediction
        source = source_of(stored_origin(row.source) if row else None, settings)
        forecast = (prediction and read_row(prediction, _forecast_fields)) or NO_FORECAST
        rows.append(
            {
                "station": station_item(station_id, described.get(station_id)),
                "newest": reading and observation_item(reading),
                "age_seconds": reading and (now - reading.observation.timestamp).total_seconds(),
                "arrived_seconds": reading and (now - reading.stored_at).total_seconds(),
                "source": source,
                "live": source in LIVE_ORIGINS,
                **forecast,
            }
        )
    return json_response({"units": UNITS, "stations": sorted(rows, key=lambda row: row["station"]["name"])})


def _forecast_fields(row: Row[Any]) -> dict[str, Any]:
    """The fields of a `StationSummaryItem` that depend on the latest prediction."""
    return {
        "forecast_of": iso(row.timestamp),
        "is_anomaly": row.is_anomaly,
        "reasons": [*row.anomaly["reasons"]],
        "ahead": _forecast_summary(row.predictions),
    }


def _forecast_summary(forecast: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `ForecastSummaryItem`."""
    return {
        **{name: {"least": min(forecast[name]), "greatest": max(forecast[name])} for name in VARIABLES},
        "until": forecast["valid_times"][-1],
        "model_version": forecast["model_version"],
        "method": forecast["method"],
    }
