"""`GET /predictions/{station_id}/history`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import (
    ConnectionDep,
    FromTime,
    KnownStationId,
    NowDep,
    SettingsDep,
    ToTime,
    UtcTime,
    resolve_range,
)
from weatherglass.api.problems import error_responses
from weatherglass.api.routes.predictions import ForecastValueItem, ForecastVariable, forecast_by_hour, no_data_yet
from weatherglass.api.schemas import UnitsField, json_response
from weatherglass.api.table_response import TABLE_RESPONSES, PreferredTable, table_response
from weatherglass.records import UNITS, VARIABLES, Method, Time, iso
from weatherglass.store import predictions
from weatherglass.store.past_forecasts import PastForecast, past_forecasts
from weatherglass.store.readable import read_rows

router = APIRouter(tags=["predictions"])

HOUR = timedelta(hours=1)
DEFAULT_SPAN = timedelta(hours=24)
MAX_SPAN = timedelta(days=366)
COLUMNS = {
    "station_id": str,
    "timestamp": datetime,
    "valid_time": datetime,
    "lead": int,
    "model_version": str,
    "method": str,
}
"""Columns of a table of forecasts, followed by those of the variables."""


class PastForecastItem(BaseModel):
    """The forecast of one valid time. Variables that were not requested are null."""

    timestamp: Time = Field(
        description="Time of the observation that the forecast is based on.", examples=["2026-01-05T12:15:00Z"]
    )
    valid_time: Time = Field(description="Time that the forecast is for.", examples=["2026-01-05T13:00:00Z"])
    lead: int = Field(description="Hours from the observation to the valid time, rounded up.", examples=[1])
    model_version: str = Field(examples=["7"])
    method: Method
    temperature: ForecastValueItem | None = Field(None, description="°C")
    humidity: ForecastValueItem | None = Field(None, description="Relative humidity, %")
    pressure: ForecastValueItem | None = Field(None, description="Station pressure, hPa")
    wind_speed: ForecastValueItem | None = Field(None, description="m/s")


class PastForecastsResponse(BaseModel):
    station_id: str = Field(examples=["new-york"])
    start: Time = Field(examples=["2026-01-04T12:15:42Z"])
    end: Time = Field(examples=["2026-01-05T12:15:42Z"])
    interval_level: float = Field(description="Nominal coverage of the intervals.", examples=[0.9])
    units: UnitsField
    forecasts: list[PastForecastItem] = Field(description="By issue time, the oldest first, then by lead.")
    next_cursor: str | None = Field(
        description="Value of `cursor` for the next page; null on the last page.", examples=["2026-01-05T12:15:00Z"]
    )


@router.get(
    "/predictions/{station_id}/history",
    summary="Past forecasts of a station",
    responses={200: TABLE_RESPONSES, **error_responses(404, 422, 503)},
    response_model=PastForecastsResponse,
)
def forecast_history(
    station_id: KnownStationId,
    store: ConnectionDep,
    settings: SettingsDep,
    now: NowDep,
    table: PreferredTable,
    start: FromTime = None,
    end: ToTime = None,
    lead: Annotated[int | None, Query(ge=1, le=24, description="Only this lead, hours.")] = None,
    variable: Annotated[ForecastVariable | None, Query(description="Only this variable.")] = None,
    limit: Annotated[
        int, Query(ge=1, le=200, description="Maximum number of issue times per page, with up to 24 leads each.")
    ] = 50,
    cursor: Annotated[UtcTime | None, Query(description="`next_cursor` of the previous page.")] = None,
) -> Response:
    """A page of the forecasts based on observations in [from, to), at most 366 days. Default: the last 24 hours.

    Of forecasts older than 35 days, one per hour is kept. The header `Next-Cursor` of
    CSV and Parquet responses contains the cursor of the next page.
    """
    start, end = resolve_range(start, end, now, DEFAULT_SPAN, MAX_SPAN)
    rows = past_forecasts(store, station_id, start, end, limit + 1, cursor)
    if not rows and predictions.latest_row(store, station_id) is None:
        raise no_data_yet("prediction", station_id, settings)
    page = rows[:limit]
    next_cursor = iso(page[-1].timestamp) if len(rows) > limit else None
    names = (variable.value,) if variable else VARIABLES
    readable = read_rows(page, lambda forecast: _level_and_items(forecast, lead, names))
    items = (item for _, of_forecast in readable for item in of_forecast)
    if table:
        fields = [f"{name}{suffix}" for name in names for suffix in ("", "_lower", "_upper")]
        columns = {**COLUMNS, **dict.fromkeys(fields, float)}
        return table_response(table, columns, (_row(station_id, item, names) for item in items), next_cursor)
    content = {
        "station_id": station_id,
        "start": iso(start),
        "end": iso(end),
        "interval_level": readable[-1][0] if readable else 0.9,
        "units": UNITS,
        "forecasts": list(items),
        "next_cursor": next_cursor,
    }
    return json_response(content)


def lead_hours(issue_time: datetime, valid_time: datetime) -> int:
    """Hours from the observation to the valid time, rounded up: from 12:15 to 13:00 is 1."""
    return -((issue_time - valid_time) // HOUR)


def _level_and_items(
    forecast: PastForecast, only_lead: int | None, names: tuple[str, ...]
) -> tuple[float, list[dict[str, Any]]]:
    """The level of the intervals and the items of a forecast."""
    return forecast.confidence["level"], list(_forecast_items(forecast, only_lead, names))


def _forecast_items(forecast: PastForecast, only_lead: int | None, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The fields of a `PastForecastItem` for each lead of a forecast, or for one lead."""
    timestamp = iso(forecast.timestamp)
    model = {name: forecast.predictions[name] for name in ("model_version", "method")}
    not_requested = dict.fromkeys(name for name in VARIABLES if name not in names)
    for valid_time, values in forecast_by_hour(forecast.predictions, forecast.confidence, names):
        lead = lead_hours(forecast.timestamp, datetime.fromisoformat(valid_time))
        if only_lead in (None, lead):
            yield {"timestamp": timestamp, "valid_time": valid_time, "lead": lead, **model, **not_requested, **values}


def _row(station_id: str, item: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    row = {"station_id": station_id, **item}
    for name in names:
        value = item[name]
        row |= {name: value["value"], f"{name}_lower": value["lower"], f"{name}_upper": value["upper"]}
    return row
