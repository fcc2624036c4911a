"""`GET /models` and `GET /models/compare`"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import SettingsOf, Store
from weatherglass.api.problems import Problem, responses
from weatherglass.records import Time
from weatherglass.registry.catalog import RegisteredModel, registered
from weatherglass.registry.registry import ANOMALY_DETECTOR, CHAMPION, FORECASTER
from weatherglass.store import verification_queries

router = APIRouter(tags=["models"])

CHALLENGER = "challenger"
LAST_PROMOTIONS = 50


class ModelKind(StrEnum):
    FORECASTER = FORECASTER
    ANOMALY_DETECTOR = ANOMALY_DETECTOR


VersionQuery = Annotated[str | None, Query(pattern=r"^[\w.-]{1,100}$")]


class RegisteredVersion(BaseModel):
    """A version in the registry."""

    kind: ModelKind
    version: str = Field(examples=["7"])
    created_at: Time = Field(examples=["2026-01-05T03:10:00Z"])
    aliases: list[str] = Field(description="`champion` serves, `challenger` may replace it.", examples=[["champion"]])
    metrics: dict[str, float] = Field(description="Of its evaluation after training.", examples=[{"mae": 1.42}])
    params: dict[str, str] = Field(description="What it was trained with.", examples=[{"size": "full"}])
    tags: dict[str, str] = Field(examples=[{"source": "kaggle"}])
    quarantined: str | None = Field(description="Why it may not serve; null if it may.", examples=[None])


class PromotionAnswer(BaseModel):
    """A line of the log of promotions."""

    at: Time = Field(examples=["2026-01-05T03:12:00Z"])
    kind: str = Field(examples=["forecaster"])
    action: str = Field(description="`promote`, `rollback`, `challenge` or `withdraw`.", examples=["promote"])
    from_version: str | None = Field(examples=["6"])
    to_version: str | None = Field(examples=["7"])
    who: str = Field(examples=["train_models"])
    why: str = Field(examples=["better by 4 % over the same hours"])
    figures: dict[str, Any]


class DriftAnswer(BaseModel):
    """How far an input has moved from what a version was trained on."""

    version: str = Field(examples=["7"])
    day: date = Field(examples=["2026-01-05"])
    feature: str = Field(examples=["temperature"])
    psi: float = Field(description="Population stability index against the same season of history.", examples=[0.08])
    psi_limit: float = Field(description="Above it the inputs have drifted.", examples=[0.62])
    ks: float = Field(description="Kolmogorov-Smirnov distance, 0 to 1.", examples=[0.05])
    n: int = Field(examples=[2304])


class ModelsResponse(BaseModel):
    versions: list[RegisteredVersion] = Field(description="The newest first.")
    promotions: list[PromotionAnswer] = Field(description="The last first.")
    drift: list[DriftAnswer] = Field(description="The newest day of each version, the largest first.")


class ErrorDifference(BaseModel):
    name: str = Field(examples=["mae_temperature"])
    first: float | None = Field(examples=[1.42])
    second: float | None = Field(examples=[1.37])
    change: float | None = Field(description="Second minus first.", examples=[-0.05])


class ComparisonPoint(BaseModel):
    """The last decision between the two, from forecasts of both on the same cases."""

    at: Time
    decision: str = Field(description="`promote`, `keep` or `wait`.", examples=["wait"])
    why: str
    figures: dict[str, Any]


class ModelComparison(BaseModel):
    kind: ModelKind
    first: str = Field(examples=["6"])
    second: str = Field(examples=["7"])
    metrics: list[ErrorDifference] = Field(description="Of the evaluations after training, by name.")
    decision: ComparisonPoint | None = Field(description="Null where the two have not been compared in service.")


@router.get("/models", summary="Models, promotions and drift", responses=responses(503))
def list_models(store: Store, settings: SettingsOf) -> ModelsResponse:
    """Every registered version with its figures, who promoted what and why, and how far the inputs have drifted."""
    refused = {(row.kind, row.version): row.reason for row in reversed(verification_queries.quarantined(store))}
    versions = [
        RegisteredVersion(**_fields(model), quarantined=refused.get((model.kind, model.version)))
        for model in registered(settings)
    ]
    return ModelsResponse(
        versions=versions,
        promotions=[
            PromotionAnswer.model_validate(row, from_attributes=True)
            for row in verification_queries.last_promotions(store, LAST_PROMOTIONS)
        ],
        drift=[
            DriftAnswer.model_validate(row, from_attributes=True) for row in verification_queries.newest_drift(store)
        ],
    )


@router.get("/models/compare", summary="Two versions beside each other", responses=responses(404, 422, 503))
def compare_models(
    store: Store,
    settings: SettingsOf,
    kind: Annotated[ModelKind, Query()] = ModelKind.FORECASTER,
    first: VersionQuery = None,
    second: VersionQuery = None,
) -> ModelComparison:
    """`first` is the champion, `second` the challenger, or else the newest other version, where they are left out."""
    versions = [model for model in registered(settings) if model.kind == kind]
    one = _chosen(versions, kind, first, CHAMPION, None)
    two = _chosen(versions, kind, second, CHALLENGER, one)
    names = sorted(one.metrics.keys() | two.metrics.keys())
    decided = (
        verification_queries.last_comparison(store, one.version, two.version) if kind is ModelKind.FORECASTER else None
    )
    return ModelComparison(
        kind=kind,
        first=one.version,
        second=two.version,
        metrics=[_difference(name, one.metrics.get(name), two.metrics.get(name)) for name in names],
        decision=ComparisonPoint.model_validate(decided, from_attributes=True) if decided else None,
    )


def _fields(model: RegisteredModel) -> dict[str, Any]:
    return {**model.__dict__, "kind": ModelKind(model.kind), "aliases": list(model.aliases)}


def _chosen(
    versions: Sequence[RegisteredModel], kind: ModelKind, version: str | None, alias: str, other: RegisteredModel | None
) -> RegisteredModel:
    if version is not None:
        wanted = [model for model in versions if model.version == version]
        words = f"there is no {kind} of version {version}; there are {', '.join(m.version for m in versions) or 'none'}"
    else:
        wanted = [model for model in versions if alias in model.aliases] or [m for m in versions if m is not other]
        words = f"there is no {'other ' if other else ''}{kind} yet; the DAG train_models makes one"
    if not wanted:
        raise Problem(404, "Unknown version" if version else "Nothing yet", words)
    return wanted[0]


def _difference(name: str, first: float | None, second: float | None) -> ErrorDifference:
    change = second - first if first is not None and second is not None else None
    return ErrorDifference(name=name, first=first, second=second, change=change)
