"""`POST /weather-alerts/backtest`."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import ConnectionDep, NowDep, SettingsDep
from weatherglass.api.problems import INVALID_RANGE, TOO_MANY_REQUESTS, Problem, error_responses
from weatherglass.api.routes.weather_alerts import EXAMPLE, require_known_stations
from weatherglass.records import Time
from weatherglass.store import predictions
from weatherglass.weather_alerts.rule import ForecastRule

router = APIRouter(tags=["weather alerts"])

MAX_STATION_DAYS = 1_000
"""A back-test of this size takes several seconds."""
MAX_LISTED = 200
RETRY_SECONDS = 5

_running = threading.Lock()
"""One back-test at a time, so that other requests are not delayed."""


class SimulatedAlertItem(BaseModel):
    """An alert that the rule would have raised."""

    station_id: str = Field(examples=["new-york"])
    since: Time = Field(
        description="Observation of the forecast with which it would have started.", examples=["2026-01-05T12:15:00Z"]
    )
    until: Time = Field(
        description="Observation of the last forecast with which it would have been open.",
        examples=["2026-01-06T03:00:00Z"],
    )
    probability: float = Field(description="The highest one.", examples=[0.81])
    was_right: bool | None = Field(
        description="Whether the condition was observed in the lead window of any of its forecasts; null if not known.",
        examples=[True],
    )
    first_met: Time | None = Field(description="The first such hour.", examples=["2026-01-06T02:00:00Z"])


class BacktestResponse(BaseModel):
    days: int = Field(examples=[30])
    stations: int = Field(description="Number of stations.", examples=[1])
    forecasts: int = Field(description="Replayed forecasts, one per hour and station.", examples=[720])
    not_evaluated: int = Field(description="Of these, forecasts with which the rule could not be evaluated.")
    fired: int = Field(description="Alerts that the rule would have raised.", examples=[9])
    right: int = Field(description="Of these, alerts whose condition was observed.", examples=[7])
    wrong: int = Field(description="Of these, alerts whose condition was not observed.", examples=[1])
    unknown: int = Field(description="Of these, alerts without enough observations.", examples=[1])
    occurrences: int = Field(
        description="Runs of consecutive forecasts in whose lead windows the condition was observed.", examples=[8]
    )
    missed: int = Field(description="Occurrences during which no alert would have been open.", examples=[1])
    alerts: list[SimulatedAlertItem] = Field(description=f"The newest {MAX_LISTED}, the newest first.")


@router.post(
    "/weather-alerts/backtest",
    summary="Back-test a weather alert rule",
    responses=error_responses(404, 422, 429, 503),
)
def backtest_rule(
    body: Annotated[ForecastRule, Body(examples=[EXAMPLE])],
    store: ConnectionDep,
    settings: SettingsDep,
    now: NowDep,
    days: Annotated[int, Query(ge=1, le=90, description="Length of the period until now.")] = 30,
) -> BacktestResponse:
    """How often a rule would have raised an alert with the stored forecasts, and how often it would have been right.

    One forecast per hour is replayed, and compared with the hours that were observed afterwards. Nothing is stored and
    nothing is sent. The rule need not exist. Stations without a forecast are left out.
    """
    # These import NumPy and pandas, which the other routes here do not need.
    from weatherglass.history.prepared import station_lookup
    from weatherglass.verification.weather_alert_backtest import backtest

    found = [row.station_id for row in predictions.latest_columns(store, "station_id")]
    station_ids = [station_id for station_id in found if body.covers(station_id)]
    if not station_ids:
        require_known_stations(body, store, settings)
    if len(station_ids) * days > MAX_STATION_DAYS:
        detail = f"{len(station_ids)} stations times {days} days is more than {MAX_STATION_DAYS}. Choose fewer."
        raise Problem(INVALID_RANGE, detail)
    if not _running.acquire(blocking=False):
        raise Problem(TOO_MANY_REQUESTS, "Another back-test is running.", {"Retry-After": str(RETRY_SECONDS)})
    try:
        find = station_lookup(settings)
        result = backtest(
            store, body, [find(station_id) for station_id in station_ids], now - timedelta(days=days), now
        )
    finally:
        _running.release()
    verdicts = [alert.was_right for alert in result.alerts]
    return BacktestResponse(
        days=days,
        stations=len(station_ids),
        forecasts=result.forecasts,
        not_evaluated=result.not_evaluated,
        fired=len(verdicts),
        right=verdicts.count(True),
        wrong=verdicts.count(False),
        unknown=verdicts.count(None),
        occurrences=result.occurrences,
        missed=result.missed,
        alerts=[
            SimulatedAlertItem.model_validate(alert, from_attributes=True)
            for alert in reversed(result.alerts[-MAX_LISTED:])
        ],
    )
