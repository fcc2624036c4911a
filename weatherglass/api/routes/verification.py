"""`GET /verification`."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import ConnectionDep, NowDep, StationQuery
from weatherglass.api.problems import error_responses
from weatherglass.api.routes.models import VersionQuery
from weatherglass.api.routes.predictions import ForecastVariable
from weatherglass.records import UNITS, Time
from weatherglass.store import guidance_verification, verification_queries

router = APIRouter(tags=["models"])


class GroupBy(StrEnum):
    """How the scores are grouped."""

    LEAD = "lead"
    DAY = "day"
    ALL = "all"


class ScoreItem(BaseModel):
    """Scores of a version for one variable, in the unit of the variable."""

    version: str = Field(description="Model version, or the method of a fallback.", examples=["7"])
    hindcast: bool = Field(
        description="True for forecasts computed afterwards from the history, false for live forecasts.",
        examples=[False],
    )
    variable: ForecastVariable
    unit: str = Field(examples=["°C"])
    lead: int | None = Field(description="Lead in hours, 1 to 24; null for all leads.", examples=[6])
    day: date | None = Field(description="UTC date of the valid times; null for all days.", examples=[None])
    n: int = Field(description="Number of forecasts with an observation.", examples=[288])
    mae: float = Field(description="Mean absolute error.", examples=[1.1])
    rmse: float = Field(description="Root mean square error.", examples=[1.5])
    bias: float = Field(description="Mean of forecast minus observation.", examples=[-0.1])
    n_mape: int = Field(
        description="Number of these forecasts of which an error is a percentage: not of temperature, because 0 °C is "
        "not an absence of heat, nor of humidity below 10 % or wind below 2 m/s.",
        examples=[0],
    )
    mape: float | None = Field(description="Mean absolute error of these in % of the observation.", examples=[None])
    crps: float | None = Field(
        description="Continuous ranked probability score, from the value as the median and both intervals.",
        examples=[0.8],
    )
    coverage_80: float | None = Field(description="Fraction of observations inside the 80 % interval.", examples=[0.79])
    coverage_90: float | None = Field(description="Fraction of observations inside the 90 % interval.", examples=[0.91])
    n_baselines: int = Field(
        description="Number of these forecasts for which both baselines are available.", examples=[280]
    )
    mae_compared: float | None = Field(
        description="MAE of the version over the `n_baselines` forecasts.", examples=[1.1]
    )
    mae_persistence: float | None = Field(description="MAE of persistence over the same forecasts.", examples=[2.2])
    mae_damped: float | None = Field(description="MAE of the damped anomaly over the same forecasts.", examples=[1.6])
    skill_persistence: float | None = Field(
        description="Skill compared with persistence: 1 - `mae_compared` / `mae_persistence`.", examples=[0.5]
    )
    skill_damped: float | None = Field(
        description="Skill compared with the damped anomaly: 1 - `mae_compared` / `mae_damped`.", examples=[0.31]
    )


class GuidanceScoreItem(BaseModel):
    """Live forecasts of a version compared with the raw guidance of a weather model, in the unit of the variable."""

    version: str = Field(description="Model version, or the method of a fallback.", examples=["7"])
    model: str = Field(description="Open-Meteo's id of the weather model.", examples=["best_match"])
    simulated: bool = Field(
        description="True: the guidance was made by the replay server from later observations, so the skill says "
        "nothing about real forecasts.",
        examples=[False],
    )
    variable: ForecastVariable
    unit: str = Field(examples=["°C"])
    lead: int | None = Field(description="Lead in hours, 1 to 24; null for all leads.", examples=[6])
    day: date | None = Field(description="UTC date of the valid times; null for all days.", examples=[None])
    n: int = Field(
        description="Number of cases: forecasts with guidance and an observation that is not from Open-Meteo.",
        examples=[240],
    )
    mae_compared: float = Field(description="MAE of the version over these cases.", examples=[1.1])
    mae_guidance: float = Field(description="MAE of the guidance, uncorrected, over the same cases.", examples=[1.4])
    skill_guidance: float | None = Field(
        description="Skill compared with the guidance: 1 - `mae_compared` / `mae_guidance`.", examples=[0.21]
    )


class VerificationResponse(BaseModel):
    since: date = Field(examples=["2025-12-29"])
    verified_through: Time | None = Field(
        description="Forecasts and observations stored up to this time are verified; null before the first run.",
        examples=["2026-01-05T12:00:00Z"],
    )
    scores: list[ScoreItem] = Field(description="Ordered by version, variable, and lead or day.")
    guidance: list[GuidanceScoreItem] = Field(
        description="Compared with the newest run of each weather model received until the base hour of the forecast. "
        "Observations from Open-Meteo are output of weather models and do not count; stations that are observed only "
        "by Open-Meteo are left out. Ordered by version, model, variable, and lead or day."
    )


@router.get("/verification", summary="Verification scores of the forecasts", responses=error_responses(422, 503))
def verification(
    store: ConnectionDep,
    now: NowDep,
    days: Annotated[int, Query(ge=1, le=366, description="Number of days before now, by valid time.")] = 30,
    by: Annotated[GroupBy, Query(description="Group the scores by lead, by day, or not at all.")] = GroupBy.LEAD,
    station_id: StationQuery = None,
    version: VersionQuery = None,
    variable: Annotated[ForecastVariable | None, Query(description="Only this variable.")] = None,
) -> VerificationResponse:
    """Errors, bias, CRPS, interval coverage, and skill compared with persistence, damped anomaly and raw guidance."""
    since = (now - timedelta(days=days)).date()
    grouping = by is GroupBy.LEAD, by is GroupBy.DAY
    selected = station_id, version, variable.value if variable else None
    return VerificationResponse(
        since=since,
        verified_through=verification_queries.verified_until(store),
        scores=[_score_item(score) for score in verification_queries.scores(store, since, *grouping, *selected)],
        guidance=[_guidance_item(score) for score in guidance_verification.scores(store, since, *grouping, *selected)],
    )


def _score_item(score: verification_queries.Score) -> ScoreItem:
    return ScoreItem(
        **score.__dict__,
        unit=UNITS[score.variable],
        skill_persistence=_skill_score(score.mae_compared, score.mae_persistence),
        skill_damped=_skill_score(score.mae_compared, score.mae_damped),
    )


def _guidance_item(score: guidance_verification.GuidanceScore) -> GuidanceScoreItem:
    return GuidanceScoreItem(
        **score.__dict__,
        unit=UNITS[score.variable],
        skill_guidance=_skill_score(score.mae_compared, score.mae_guidance),
    )


def _skill_score(mae: float | None, baseline: float | None) -> float | None:
    return 1 - mae / baseline if mae is not None and baseline else None
