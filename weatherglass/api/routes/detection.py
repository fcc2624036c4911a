"""`GET /anomalies/detection`."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import ConnectionDep, NowDep
from weatherglass.api.problems import error_responses
from weatherglass.store import detection_scores

router = APIRouter(tags=["anomalies"])


class DetectionItem(BaseModel):
    """Scores of an anomaly detector."""

    version: str = Field(description="Version of the detector; `none`: rules only, no model.", examples=["3"])
    truth: str = Field(
        description="Reference: `injected` for faults injected into a replay, `verdict` for users' verdicts.",
        examples=["injected"],
    )
    kind: str | None = Field(
        description="Kind of injected fault; null for all kinds. False alarms have no kind, so precision is only given "
        "for all kinds.",
        examples=["spike"],
    )
    hits: int = Field(description="Detected faults, or confirmed anomalies.", examples=[11])
    misses: int = Field(description="Undetected faults; 0 for verdicts.", examples=[4])
    false_alarms: int = Field(description="Flagged observations without a fault.", examples=[2])
    precision: float | None = Field(
        description="hits / (hits + false alarms); null if there are neither.", examples=[0.85]
    )
    recall: float | None = Field(description="hits / (hits + misses); null if unknown.", examples=[0.73])
    f1: float | None = Field(
        description="Harmonic mean of precision and recall; null if one of them is unknown.", examples=[0.79]
    )


class DetectionResponse(BaseModel):
    since: date = Field(examples=["2025-12-29"])
    detection: list[DetectionItem] = Field(description="By version and reference: all kinds together, then each kind.")


@router.get("/anomalies/detection", summary="Scores of the anomaly detector", responses=error_responses(422, 503))
def detection(
    store: ConnectionDep,
    now: NowDep,
    days: Annotated[int, Query(ge=1, le=366, description="Number of days before now.")] = 30,
) -> DetectionResponse:
    """Precision, recall and F1 of the detector, from users' verdicts and from faults injected into a replay."""
    since = (now - timedelta(days=days)).date()
    totals = detection_scores.detection_totals(store, since)
    items = []
    for version, truth in sorted({(row.version, row.truth) for row in totals}):
        group = [row for row in totals if (row.version, row.truth) == (version, truth)]
        hits, misses, alarms = (sum(getattr(row, name) for row in group) for name in ("hits", "misses", "false_alarms"))
        known_misses = truth == detection_scores.INJECTED
        all_kinds = DetectionItem(
            version=version,
            truth=truth,
            kind=None,
            hits=hits,
            misses=misses,
            false_alarms=alarms,
            precision=_ratio(hits, alarms),
            recall=_ratio(hits, misses) if known_misses else None,
            f1=_ratio(2 * hits, misses + alarms) if known_misses and hits + misses and hits + alarms else None,
        )
        by_kind = [
            DetectionItem(**vars(row), precision=None, recall=_ratio(row.hits, row.misses), f1=None)
            for row in group
            if row.kind
        ]
        items += [all_kinds, *by_kind]
    return DetectionResponse(since=since, detection=items)


def _ratio(count: int, others: int) -> float | None:
    return count / (count + others) if count + others else None
