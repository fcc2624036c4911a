"""`GET /predictions/{station_id}/history`"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from weatherglass.api.csv_response import CSV, AsCsv, csv_of
from weatherglass.api.dependencies import FromTime, Moment, Now, SettingsOf, StationId, Store, ToTime, checked_range
from weatherglass.api.problems import responses
from weatherglass.api.routes.predictions import ForecastResponse, Value, hours, nothing_yet
from weatherglass.api.schemas import UnitsField, json_of
from weatherglass.records import UNITS, VARIABLES, Method, Time, iso
from weatherglass.store import predictions
from weatherglass.store.past_forecasts import Issue, issued

router = APIRouter(tags=["predictions"])

HOUR = timedelta(hours=1)
DEFAULT_SPAN = timedelta(hours=24)
LONGEST_SPAN = timedelta(days=366)


class PastLead(BaseModel):
    """What one issue said of one hour; null for a variable that was not asked for."""

    timestamp: Time = Field(description="Time of the observation that it answered.", examples=["2026-01-05T12:15:00Z"])
    valid_time: Time = Field(description="The hour that was forecast.", examples=["2026-01-05T13:00:00Z"])
    lead: int = Field(description="Full hours ahead, rounded up.", examples=[1])
    model_version: str = Field(examples=["7"])
    method: Method
    temperature: Value | None = Field(None, description="°C")
    humidity: Value | None = Field(None, description="Relative, %")
    pressure: Value | None = Field(None, description="At the station, hPa")
    wind_speed: Value | None = Field(None, description="m/s")


class PastPredictions(BaseModel):
    station_id: str = Field(examples=["new-york"])
    start: Time = Field(examples=["2026-01-04T12:15:42Z"])
    end: Time = Field(examples=["2026-01-05T12:15:42Z"])
    interval_level: float = Field(description="Share of the truth that the intervals should hold.", examples=[0.9])
    units: UnitsField
    forecasts: list[PastLead] = Field(description="By issue, the oldest first, then by lead.")
    next_cursor: str | None = Field(
        description="Give it as `cursor` for the next page; null on the last one.", examples=["2026-01-05T12:15:00Z"]
    )


@router.get(
    "/predictions/{station_id}/history",
    summary="What was forecast",
    responses={200: CSV, **responses(404, 422, 503)},
    response_model=PastPredictions,
)
def past_predictions(
    station_id: StationId,
    store: Store,
    settings: SettingsOf,
    now: Now,
    as_csv: AsCsv,
    start: FromTime = None,
    end: ToTime = None,
    lead: Annotated[int | None, Query(ge=1, le=24, description="Only this lead, full hours ahead.")] = None,
    variable: Annotated[ForecastResponse | None, Query(description="Only this variable.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Issues on a page; each has up to 24 leads.")] = 50,
    cursor: Annotated[Moment | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    """A page of the forecasts for the observations in [from, to), at most 366 days, by default the last 24 hours.

    Forecasts older than 35 days are kept hourly. As CSV the next page's cursor is in the header `Next-Cursor`.
    """
    start, end = checked_range(start, end, now, DEFAULT_SPAN, LONGEST_SPAN)
    rows = issued(store, station_id, start, end, limit + 1, cursor)
    if not rows and predictions.newest(store, station_id) is None:
        raise nothing_yet("prediction", station_id, settings)
    page, more = rows[:limit], len(rows) > limit
    following = iso(page[-1].timestamp) if more else None
    names = (variable.value,) if variable else VARIABLES
    forecasts = (past for issue in page for past in _leads(issue, lead, names))
    if as_csv:
        fields = [f"{name}{part}" for name in names for part in ("", "_lower", "_upper")]
        columns = ("station_id", "timestamp", "valid_time", "lead", "model_version", "method", *fields)
        flat = (_flat(station_id, past, names) for past in forecasts)
        return csv_of(columns, flat, {"Next-Cursor": following} if following else None)
    answer = {
        "station_id": station_id,
        "start": iso(start),
        "end": iso(end),
        "interval_level": page[-1].confidence["level"] if page else 0.9,
        "units": UNITS,
        "forecasts": list(forecasts),
        "next_cursor": following,
    }
    return json_of(answer)


def lead_of(issue: datetime, valid_time: datetime) -> int:
    """Full hours from the observation to the hour that is forecast, rounded up: 12:15 to 13:00 is 1."""
    return -((issue - valid_time) // HOUR)


def _leads(issue: Issue, only: int | None, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The leads of an issue, each as a `PastLead`."""
    timestamp = iso(issue.timestamp)
    maker = {name: issue.predictions[name] for name in ("model_version", "method")}
    unasked = dict.fromkeys(name for name in VARIABLES if name not in names)
    for valid_time, values in hours(issue.predictions, issue.confidence, names):
        lead = lead_of(issue.timestamp, datetime.fromisoformat(valid_time))
        if only in (None, lead):
            yield {"timestamp": timestamp, "valid_time": valid_time, "lead": lead, **maker, **unasked, **values}


def _flat(station_id: str, past: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    row = {"station_id": station_id, **past}
    for name in names:
        bounds = past[name]
        row |= {name: bounds["value"], f"{name}_lower": bounds["lower"], f"{name}_upper": bounds["upper"]}
    return row
