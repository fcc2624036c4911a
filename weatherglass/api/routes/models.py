"""`GET /models` and `GET /models/compare`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import ConnectionDep, SettingsDep
from weatherglass.api.problems import NO_MODEL_YET, UNKNOWN_VERSION, Problem, error_responses
from weatherglass.records import Time
from weatherglass.registry.catalog import RegisteredModel, registered_models
from weatherglass.registry.registry import ANOMALY_DETECTOR, CHAMPION, FORECASTER, GUIDANCE
from weatherglass.store import input_drift, promotions, quarantine, sequential_tests

router = APIRouter(tags=["models"])

CHALLENGER = "challenger"
MAX_PROMOTIONS = 50


class ModelKind(StrEnum):
    FORECASTER = FORECASTER
    ANOMALY_DETECTOR = ANOMALY_DETECTOR
    GUIDANCE = GUIDANCE


VersionQuery = Annotated[str | None, Query(pattern=r"^[\w.-]{1,100}$", description="Model version.")]


class ModelVersionItem(BaseModel):
    """A version in the model registry."""

    kind: ModelKind
    version: str = Field(examples=["7"])
    created_at: Time = Field(examples=["2026-01-05T03:10:00Z"])
    aliases: list[str] = Field(
        description="`champion`: serves predictions; `challenger`: may replace the champion.", examples=[["champion"]]
    )
    metrics: dict[str, float] = Field(description="Metrics of the evaluation after training.", examples=[{"mae": 1.42}])
    params: dict[str, str] = Field(description="Training parameters.", examples=[{"size": "full"}])
    tags: dict[str, str] = Field(examples=[{"source": "kaggle"}])
    mlflow_url: str | None = Field(
        description="Page of its run in MLflow, while `weatherglass models ui` runs on the machine of the browser.",
        examples=["http://127.0.0.1:5000/#/experiments/1/runs/2a8f6c1e"],
    )
    quarantined: str | None = Field(description="Why the version is in quarantine; null if it is not.", examples=[None])


class PromotionItem(BaseModel):
    """An entry of the promotion log."""

    at: Time = Field(examples=["2026-01-05T03:12:00Z"])
    kind: str = Field(examples=["forecaster"])
    action: str = Field(description="`promote`, `rollback`, `challenge` or `withdraw`.", examples=["promote"])
    from_version: str | None = Field(examples=["6"])
    to_version: str | None = Field(examples=["7"])
    changed_by: str = Field(description="DAG or user.", examples=["train_models"])
    reason: str = Field(description="Reason.", examples=["4 % lower error over the same hours"])
    details: dict[str, Any] = Field(description="Values behind the decision.")


class DriftItem(BaseModel):
    """Drift of an input feature compared with the training data of a version."""

    version: str = Field(examples=["7"])
    day: date = Field(examples=["2026-01-05"])
    feature: str = Field(examples=["temperature"])
    psi: float = Field(
        description="Population stability index compared with the same season of the history.", examples=[0.08]
    )
    psi_limit: float = Field(description="Drift is reported above this value.", examples=[0.62])
    ks: float = Field(description="Kolmogorov-Smirnov distance, 0 to 1.", examples=[0.05])
    n: int = Field(description="Number of values.", examples=[2304])


class ModelsResponse(BaseModel):
    versions: list[ModelVersionItem] = Field(description="The newest version first.")
    promotions: list[PromotionItem] = Field(description="The latest promotion first.")
    drift: list[DriftItem] = Field(description="The latest day of each version, the largest drift first.")


class MetricDifferenceItem(BaseModel):
    name: str = Field(examples=["mae_temperature"])
    first: float | None = Field(examples=[1.42])
    second: float | None = Field(examples=[1.37])
    change: float | None = Field(description="Second minus first.", examples=[-0.05])


class ComparisonDecisionItem(BaseModel):
    """The latest decision between the two versions, from forecasts of both for the same stations and times."""

    at: Time
    decision: str = Field(description="`promote`, `keep` or `wait`.", examples=["wait"])
    reason: str = Field(description="Reason for the decision.")
    details: dict[str, Any] = Field(description="Values behind the decision.")


class ModelComparisonResponse(BaseModel):
    kind: ModelKind
    first: str = Field(examples=["6"])
    second: str = Field(examples=["7"])
    metrics: list[MetricDifferenceItem] = Field(description="Metrics of the evaluations after training, by name.")
    decision: ComparisonDecisionItem | None = Field(
        description="Null if the versions have not been compared on live forecasts."
    )


@router.get("/models", summary="List model versions, promotions and drift", responses=error_responses(503))
def list_models(store: ConnectionDep, settings: SettingsDep) -> ModelsResponse:
    """All registered versions with their metrics, the promotion log, and the drift of the input features."""
    quarantined = {(row.kind, row.version): row.reason for row in reversed(quarantine.quarantine_rows(store))}
    versions = [
        ModelVersionItem(**_version_fields(model), quarantined=quarantined.get((model.kind, model.version)))
        for model in registered_models(settings)
    ]
    return ModelsResponse(
        versions=versions,
        promotions=[
            PromotionItem.model_validate(row, from_attributes=True)
            for row in promotions.last_promotions(store, MAX_PROMOTIONS)
        ],
        drift=[DriftItem.model_validate(row, from_attributes=True) for row in input_drift.latest_drift(store)],
    )


@router.get("/models/compare", summary="Compare two model versions", responses=error_responses(404, 422, 503))
def compare_models(
    store: ConnectionDep,
    settings: SettingsDep,
    kind: Annotated[ModelKind, Query()] = ModelKind.FORECASTER,
    first: VersionQuery = None,
    second: VersionQuery = None,
) -> ModelComparisonResponse:
    """Metrics of two versions and the latest decision between them.

    Default for `first`: the champion. Default for `second`: the challenger, or the newest other version if there is no
    challenger.
    """
    versions = [model for model in registered_models(settings) if model.kind == kind]
    model = _select_version(versions, kind, first, CHAMPION, second)
    other = _select_version(versions, kind, second, CHALLENGER, model.version)
    names = sorted(model.metrics.keys() | other.metrics.keys())
    decision = (
        sequential_tests.last_sequential_test(store, model.version, other.version)
        if kind is ModelKind.FORECASTER
        else None
    )
    return ModelComparisonResponse(
        kind=kind,
        first=model.version,
        second=other.version,
        metrics=[_difference(name, model.metrics.get(name), other.metrics.get(name)) for name in names],
        decision=ComparisonDecisionItem.model_validate(decision, from_attributes=True) if decision else None,
    )


def _version_fields(model: RegisteredModel) -> dict[str, Any]:
    fields = {"kind": ModelKind(model.kind), "aliases": list(model.aliases), "mlflow_url": model.mlflow_url}
    return {**model.__dict__, **fields}


def _select_version(
    versions: Sequence[RegisteredModel], kind: ModelKind, version: str | None, alias: str, other: str | None
) -> RegisteredModel:
    """The requested version, else the version with the alias, else the newest; both except the version `other`."""
    if version is not None:
        for model in versions:
            if model.version == version:
                return model
        existing = ", ".join(model.version for model in versions) or "none"
        raise Problem(
            UNKNOWN_VERSION, f"Version {version} of the {kind} does not exist. Existing versions: {existing}."
        )
    others = [model for model in versions if model.version != other]
    candidates = [model for model in others if alias in model.aliases] or others
    if not candidates:
        detail = f"There is no {'second version of the ' if other else ''}{kind} yet. Run the DAG train_models."
        raise Problem(NO_MODEL_YET, detail)
    return candidates[0]


def _difference(name: str, first: float | None, second: float | None) -> MetricDifferenceItem:
    change = second - first if first is not None and second is not None else None
    return MetricDifferenceItem(name=name, first=first, second=second, change=change)
