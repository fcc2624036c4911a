"""`GET /health`"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from weatherglass.alerts.health import HealthState, pipeline_health
from weatherglass.api.dependencies import Now, SettingsOf
from weatherglass.records import Time

router = APIRouter(tags=["health"])


class PartAnswer(BaseModel):
    name: str = Field(examples=["stream_features"])
    state: HealthState
    age_seconds: float | None = Field(
        description="Since its last sign of work; null where it has none.", examples=[1.2]
    )
    detail: str = Field(description="In words.", examples=["batch 812: 20 rows, 20 windows"])


class HealthAnswer(BaseModel):
    state: HealthState = Field(description="That of the worst part.")
    at: Time = Field(examples=["2026-01-05T12:15:42Z"])
    parts: list[PartAnswer]


@router.get(
    "/health",
    summary="Whether the pipeline works",
    responses={503: {"model": HealthAnswer, "description": "A part is failing."}},
)
def health(request: Request, response: Response, settings: SettingsOf, now: Now) -> HealthAnswer:
    """Each part with its state, its age and a reason; 503 where one is failing. `degraded` still answers 200."""
    found = pipeline_health(settings, now, request.app.state.store)
    if found.state is HealthState.FAILING:
        response.status_code = 503
        response.headers["Retry-After"] = "10"
    return HealthAnswer.model_validate(found, from_attributes=True)
