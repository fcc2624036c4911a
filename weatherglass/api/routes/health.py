"""`GET /health`."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Engine

from weatherglass.alerts.health import HealthReason, HealthState, pipeline_health
from weatherglass.alerts.open_alerts import open_alerts, overall_state
from weatherglass.api.dependencies import NowDep, SettingsDep
from weatherglass.records import Time
from weatherglass.settings import Settings

router = APIRouter(tags=["health"])


class ComponentHealthItem(BaseModel):
    """The health of a component of the pipeline."""

    name: str = Field(examples=["stream_features"])
    state: HealthState
    reason: HealthReason = Field(description="Machine-readable reason for the state.")
    age_seconds: float | None = Field(
        description="Seconds since the component last did work; null if it reports none.", examples=[1.2]
    )
    detail: str = Field(
        description="Explanation of the state.", examples=["Batch 812: 20 observations (20/s) in 380 ms, lag 0"]
    )


class OpenAlertItem(BaseModel):
    """An open alert; see `/alerts` for its details."""

    id: int = Field(examples=[17])
    rule: str = Field(description="Name of the alert rule.", examples=["input_drift"])
    subject: str = Field(examples=["version 3, temperature"])
    severity: str = Field(description="`warning` or `critical`.", examples=["warning"])
    since: Time = Field(examples=["2026-01-05T12:10:00Z"])
    message: str = Field(description="What is wrong and what to do.")


class HealthResponse(BaseModel):
    state: HealthState = Field(description="The worst state of all components.")
    overall_state: HealthState = Field(
        description="The worst of `state` and the open alerts: a critical one counts as `failing`, a warning as "
        "`degraded`."
    )
    at: Time = Field(examples=["2026-01-05T12:15:42Z"])
    components: list[ComponentHealthItem]
    alerts: list[OpenAlertItem] = Field(description="The open alerts: critical ones first, then the newest.")


@router.get(
    "/health",
    summary="Health of the pipeline",
    responses={503: {"model": HealthResponse, "description": "A component is failing."}},
)
def health(request: Request, response: Response, settings: SettingsDep, now: NowDep) -> HealthResponse:
    """State, age and explanation of each component, and the open alerts.

    The status is 503 if a component is `failing`, otherwise 200. Alerts do not change it, because they outlast a fault.
    """
    current = health_response(settings, now, request.app.state.store)
    if current.state is HealthState.FAILING:
        response.status_code = 503
        response.headers["Retry-After"] = "10"
    return current


def health_response(settings: Settings, now: datetime, store: Engine) -> HealthResponse:
    """Check every component once and list the open alerts."""
    health = pipeline_health(settings, now, store)
    alerts = open_alerts(store)
    return HealthResponse(
        state=health.state,
        overall_state=overall_state(health.state, alerts),
        at=health.at,
        components=[ComponentHealthItem.model_validate(item, from_attributes=True) for item in health.components],
        alerts=[OpenAlertItem.model_validate(alert, from_attributes=True) for alert in alerts],
    )
