"""`GET /alerts`"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from plugins.api.anomalies import LARGEST_ID
from plugins.api.context import Store
from plugins.api.problems import responses
from weatherglass.records import Time
from weatherglass.store.alert_log import listed

router = APIRouter(tags=["health"])


class AlertAnswer(BaseModel):
    """Something that is wrong with the pipeline or a model, or was."""

    id: int = Field(examples=[17])
    rule: str = Field(description="What was looked at.", examples=["drift"])
    subject: str = Field(description="A version, a variable, a station, a job.", examples=["temperature"])
    severity: str = Field(description="`warning` or `critical`.", examples=["warning"])
    since: Time = Field(examples=["2026-01-05T12:10:00Z"])
    seen_at: Time = Field(description="When it was last found so.", examples=["2026-01-05T12:15:00Z"])
    resolved_at: Time | None = Field(description="Null while it is open.", examples=[None])
    words: str = Field(description="What is wrong and what to do, for a person.")
    figures: dict[str, Any] = Field(description="The numbers behind it.", examples=[{"psi": 0.31, "limit": 0.25}])
    acknowledged_by: str | None
    acknowledged_at: Time | None
    silenced_until: Time | None


class Alerts(BaseModel):
    alerts: list[AlertAnswer] = Field(description="The last raised first.")
    next_cursor: int | None = Field(
        description="Give it as `cursor` for the next page; null on the last one.", examples=[None]
    )


@router.get("/alerts", summary="Alerts, open and past", responses=responses(422, 503))
def list_alerts(
    store: Store,
    open_only: Annotated[bool | None, Query(alias="open", description="Only open ones, or only resolved ones.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Alerts on a page.")] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="`next_cursor` of the page before.")] = None,
) -> Alerts:
    """What the watcher of the models and the pipeline has found."""
    rows = listed(store, limit + 1, cursor, open_only)
    page = [AlertAnswer.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return Alerts(alerts=page, next_cursor=page[-1].id if len(rows) > limit else None)
