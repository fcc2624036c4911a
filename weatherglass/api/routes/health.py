"""`GET /health`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from weatherglass.alerts.health import HealthReason, HealthState, pipeline_health
from weatherglass.api.dependencies import NowDep, SettingsDep
from weatherglass.records import Time

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


class HealthResponse(BaseModel):
    state: HealthState = Field(description="The worst state of all components.")
    at: Time = Field(examples=["2026-01-05T12:15:42Z"])
    components: list[ComponentHealthItem]


@router.get(
    "/health",
    summary="Health of the pipeline",
    responses={503: {"model": HealthResponse, "description": "A component is failing."}},
)
def health(request: Request, response: Response, settings: SettingsDep, now: NowDep) -> HealthResponse:
    """State, age and explanation of each component. The status is 503 if a component is `failing`, otherwise 200."""
    current = pipeline_health(settings, now, request.app.state.store)
    if current.state is HealthState.FAILING:
        response.status_code = 503
        response.headers["Retry-After"] = "10"
    return HealthResponse.model_validate(current, from_attributes=True)
