"""`GET /anomalies/detection`"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from weatherglass.api.dependencies import Now, Store
from weatherglass.api.problems import responses
from weatherglass.store import detection_scores

router = APIRouter(tags=["anomalies"])


class DetectionAnswer(BaseModel):
    """How good the flags of a detector were."""

    version: str = Field(description="Of the detector; `none`: rules alone.", examples=["3"])
    truth: str = Field(
        description="`injected`: faults put into a replay on purpose; `verdict`: people's.", examples=["injected"]
    )
    kind: str | None = Field(
        description="Of the injected faults; null for all. A false alarm has no kind, so precision has none.",
        examples=["spike"],
    )
    hits: int = Field(description="Faults found, or flags confirmed.", examples=[11])
    misses: int = Field(description="Faults not found; 0 for verdicts.", examples=[4])
    false_alarms: int = Field(examples=[2])
    precision: float | None = Field(description="hits / (hits + false alarms); null without any.", examples=[0.85])
    recall: float | None = Field(description="hits / (hits + misses); null where nobody knows.", examples=[0.73])


class DetectionResponse(BaseModel):
    since: date = Field(examples=["2025-12-29"])
    detection: list[DetectionAnswer] = Field(description="By version and truth: all kinds together, then each.")


@router.get("/anomalies/detection", summary="How good the flags are", responses=responses(422, 503))
def detection(
    store: Store,
    now: Now,
    days: Annotated[int, Query(ge=1, le=366, description="Days back from now.")] = 30,
) -> DetectionResponse:
    """Precision and recall of the flags, by people's verdicts and by faults that were injected into a replay."""
    since = (now - timedelta(days=days)).date()
    found = detection_scores.detections(store, since)
    answers = []
    for version, truth in sorted({(row.version, row.truth) for row in found}):
        mine = [row for row in found if (row.version, row.truth) == (version, truth)]
        hits, misses, alarms = (sum(getattr(row, name) for row in mine) for name in ("hits", "misses", "false_alarms"))
        of_all = DetectionAnswer(
            version=version,
            truth=truth,
            kind=None,
            hits=hits,
            misses=misses,
            false_alarms=alarms,
            precision=_share(hits, alarms),
            recall=_share(hits, misses) if truth == detection_scores.INJECTED else None,
        )
        kinds = [
            DetectionAnswer(**vars(row), precision=None, recall=_share(row.hits, row.misses))
            for row in mine
            if row.kind
        ]
        answers += [of_all, *kinds]
    return DetectionResponse(since=since, detection=answers)


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
