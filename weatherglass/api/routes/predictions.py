"""`GET /predictions/{station_id}`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import Row

from weatherglass.api.dependencies import (
    EngineDep,
    NowDep,
    SettingsDep,
    StationIdPath,
    located_stations,
    require_known_station,
    source_of,
)
from weatherglass.api.problems import NO_DATA_YET, Problem, error_responses
from weatherglass.api.schemas import LiveField, SourceField, StationItem, UnitsField, json_response, station_item
from weatherglass.record_headers import LIVE_ORIGINS
from weatherglass.records import (
    UNITS,
    VARIABLES,
    Anomaly,
    Method,
    Time,
    UsedGuidance,
    iso,
)
from weatherglass.settings import Settings
from weatherglass.store import predictions
from weatherglass.store.readable import read_row, stored_origin

router = APIRouter(tags=["predictions"])


class ForecastVariable(StrEnum):
    """A forecast variable."""

    TEMPERATURE = "temperature"
    HUMIDITY = "humidity"
    PRESSURE = "pressure"
    WIND_SPEED = "wind_speed"


class ForecastValueItem(BaseModel):
    """A forecast value and its prediction interval."""

    value: float = Field(examples=[3.6])
    lower: float = Field(description="Lower bound of the interval.", examples=[2.4])
    upper: float = Field(description="Upper bound of the interval.", examples=[4.9])


class LeadItem(BaseModel):
    """The forecast for a full hour."""

    valid_time: Time = Field(description="Time that the forecast is for.", examples=["2026-01-05T13:00:00Z"])
    hours_ahead: float = Field(description="Hours from the observation to the valid time.", examples=[0.75])
    temperature: ForecastValueItem = Field(description="°C")
    humidity: ForecastValueItem = Field(description="Relative humidity, %")
    pressure: ForecastValueItem = Field(description="Station pressure, hPa")
    wind_speed: ForecastValueItem = Field(description="m/s")


class PredictionResponse(BaseModel):
    station: StationItem
    timestamp: Time = Field(
        description="Time of the observation that the forecast is based on.", examples=["2026-01-05T12:15:00Z"]
    )
    stored_at: Time = Field(description="Time of storage.", examples=["2026-01-05T12:15:04Z"])
    age_seconds: float = Field(description="Seconds since the observation.", examples=[42.0])
    source: SourceField
    live: LiveField
    model_version: str = Field(description="Model version that made the forecast.", examples=["7"])
    method: Method = Field(
        description="Forecast method. All methods except `model` are fallbacks with wider intervals."
    )
    guidance: UsedGuidance | None = Field(
        description="Forecasts of weather models that were combined with that of the method; null: none, only "
        "observations of stations."
    )
    interval_level: float = Field(description="Nominal coverage of the intervals.", examples=[0.9])
    history_hours: int = Field(
        description="Hours of the station's own observations available to the forecast.", examples=[72]
    )
    units: UnitsField
    leads: list[LeadItem] = Field(description="Ordered by valid time.")
    anomaly: Anomaly = Field(description="Result of the anomaly detector for the observation.")


@router.get(
    "/predictions/{station_id}",
    summary="Latest prediction of a station",
    responses=error_responses(404, 422, 503),
    response_model=PredictionResponse,
)
def latest_prediction(station_id: StationIdPath, store: EngineDep, settings: SettingsDep, now: NowDep) -> Response:
    """The forecast of all leads with intervals, and the result of the anomaly detector for the latest observation."""
    # The most frequent request. Resolving the connection and the station as dependencies would take longer than this.
    with store.connect() as connection:
        row = predictions.latest_row(connection, station_id)
        if row is None:
            require_known_station(station_id, connection, settings)
            raise no_data_yet("prediction", station_id, settings)
    forecast = read_row(row, _forecast_fields)
    if forecast is None:
        raise no_data_yet("readable prediction", station_id, settings)
    source = source_of(stored_origin(row.source), settings)
    return json_response(
        {
            "station": station_item(station_id, located_stations(settings).get(station_id)),
            "timestamp": iso(row.timestamp),
            "stored_at": iso(row.stored_at),
            "age_seconds": (now - row.timestamp).total_seconds(),
            "source": source,
            "live": source in LIVE_ORIGINS,
            "units": UNITS,
            **forecast,
        }
    )


def _forecast_fields(row: Row[Any]) -> dict[str, Any]:
    """The fields of a `PredictionResponse` that are in the documents of the row."""
    if not row.predictions["valid_times"]:
        raise ValueError("no valid times")
    return {
        "model_version": row.model_version,
        "method": row.method,
        "guidance": row.predictions.get("guidance"),
        "interval_level": row.confidence["level"],
        "history_hours": row.confidence["history_hours"],
        "leads": [
            {
                "valid_time": valid_time,
                "hours_ahead": (datetime.fromisoformat(valid_time) - row.timestamp).total_seconds() / 3600,
                **values,
            }
            for valid_time, values in forecast_by_hour(row.predictions, row.confidence)
        ],
        "anomaly": row.anomaly,
    }


def forecast_by_hour(
    predicted: dict[str, Any], confidence: dict[str, Any], names: tuple[str, ...] = VARIABLES
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each valid time (ISO 8601) of a stored prediction with the `ForecastValueItem` of each requested variable."""
    series = (
        [
            {"value": value, "lower": lower, "upper": upper}
            for value, lower, upper in zip(
                predicted[name], confidence["lower"][name], confidence["upper"][name], strict=True
            )
        ]
        for name in names
    )
    for valid_time, *values in zip(predicted["valid_times"], *series, strict=True):
        yield valid_time, dict(zip(names, values, strict=True))


def no_data_yet(record: str, station_id: str, settings: Settings) -> Problem:
    """The problem `no_data_yet` for a known station without data; `Retry-After` is the poll interval."""
    seconds = settings.poll_minutes * 60
    detail = (
        f"Station {station_id} has no {record} yet. The first one of an observed station is expected within "
        f"{settings.poll_minutes} min after the pipeline starts. See /health for the state of the pipeline."
    )
    return Problem(NO_DATA_YET, detail, {"Retry-After": str(seconds)}, expected_within_seconds=seconds)
