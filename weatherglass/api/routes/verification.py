"""`GET /verification`"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import STATION_PATTERN, Now, Store
from weatherglass.api.problems import responses
from weatherglass.api.routes.models import VersionQuery
from weatherglass.api.routes.predictions import ForecastResponse
from weatherglass.records import UNITS, Time
from weatherglass.store import verification_queries

router = APIRouter(tags=["models"])


class By(StrEnum):
    """How the scores are split up."""

    LEAD = "lead"
    DAY = "day"
    ALL = "all"


class ScoreAnswer(BaseModel):
    """Errors of one version in the unit of the variable."""

    version: str = Field(description="A model version, or a fallback's method.", examples=["7"])
    hindcast: bool = Field(description="Forecast afterwards from history, not live.", examples=[False])
    variable: ForecastResponse
    unit: str = Field(examples=["°C"])
    lead: int | None = Field(description="Hours, 1 to 24; null for all.", examples=[6])
    day: date | None = Field(description="UTC day of the valid times; null for all.", examples=[None])
    n: int = Field(description="Forecasts with a truth.", examples=[288])
    mae: float = Field(description="Mean absolute error.", examples=[1.1])
    rmse: float = Field(description="Root mean square error.", examples=[1.5])
    bias: float = Field(description="Mean of forecast minus truth.", examples=[-0.1])
    coverage_80: float | None = Field(description="Share of truths inside the 80 % interval.", examples=[0.79])
    coverage_90: float | None = Field(description="Share of truths inside the 90 % interval.", examples=[0.91])
    n_baselines: int = Field(description="Of n, those that both baselines could answer too.", examples=[280])
    mae_compared: float | None = Field(description="The version's own MAE on these.", examples=[1.1])
    mae_persistence: float | None = Field(description="Persistence's MAE on these.", examples=[2.2])
    mae_damped: float | None = Field(description="The damped anomaly's MAE on these.", examples=[1.6])
    skill_persistence: float | None = Field(description="1 - MAE / persistence's MAE.", examples=[0.5])
    skill_damped: float | None = Field(description="1 - MAE / the damped anomaly's MAE.", examples=[0.31])


class VerificationResponse(BaseModel):
    since: date = Field(examples=["2025-12-29"])
    verified_through: Time | None = Field(
        description="What was stored up to here has been verified; null before the first run.",
        examples=["2026-01-05T12:00:00Z"],
    )
    scores: list[ScoreAnswer] = Field(description="By version, variable, and lead or day.")


@router.get("/verification", summary="Forecasts against what came true", responses=responses(422, 503))
def verification(
    store: Store,
    now: Now,
    days: Annotated[int, Query(ge=1, le=366, description="Days back from now, of the valid times.")] = 30,
    by: Annotated[By, Query(description="Split up by lead, by day, or not at all.")] = By.LEAD,
    station_id: Annotated[str | None, Query(max_length=100, pattern=STATION_PATTERN)] = None,
    version: VersionQuery = None,
    variable: Annotated[ForecastResponse | None, Query()] = None,
) -> VerificationResponse:
    """Errors, bias, coverage of the intervals, and skill against persistence and the damped anomaly."""
    since = (now - timedelta(days=days)).date()
    found = verification_queries.scores(
        store, since, by is By.LEAD, by is By.DAY, station_id, version, variable.value if variable else None
    )
    return VerificationResponse(
        since=since,
        verified_through=verification_queries.newest_verified(store),
        scores=[_answer(score) for score in found],
    )


def _answer(score: verification_queries.Score) -> ScoreAnswer:
    return ScoreAnswer(
        **score.__dict__,
        unit=UNITS[score.variable],
        skill_persistence=_skill(score.mae_compared, score.mae_persistence),
        skill_damped=_skill(score.mae_compared, score.mae_damped),
    )


def _skill(mae: float | None, baseline: float | None) -> float | None:
    return 1 - mae / baseline if mae is not None and baseline else None
