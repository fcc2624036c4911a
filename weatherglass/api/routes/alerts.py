"""`GET /alerts`, `POST /alerts/{alert_id}/acknowledge` and `…/silence`"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from weatherglass.api.dependencies import Now, Store
from weatherglass.api.problems import Problem, responses
from weatherglass.api.routes.anomalies import LARGEST_ID
from weatherglass.records import Time
from weatherglass.store import alerts
from weatherglass.store.alert_log import listed, numbered

router = APIRouter(tags=["health"])


class AlertAnswer(BaseModel):
    """Something that is wrong with the pipeline or a model, or was."""

    id: int = Field(examples=[17])
    rule: str = Field(description="What was looked at.", examples=["input_drift"])
    subject: str = Field(description="A version, a variable, a station, a job.", examples=["version 3, temperature"])
    severity: str = Field(description="`warning` or `critical`.", examples=["warning"])
    since: Time = Field(examples=["2026-01-05T12:10:00Z"])
    seen_at: Time = Field(description="When it was last found so.", examples=["2026-01-05T12:15:00Z"])
    resolved_at: Time | None = Field(description="Null while it is open.", examples=[None])
    words: str = Field(description="What is wrong and what to do, for a person.")
    figures: dict[str, Any] = Field(
        description="The numbers behind it.", examples=[{"psi": 0.41, "psi_limit": 0.25, "ks": 0.18, "n": 3360}]
    )
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


AlertId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="As in `/alerts`.", examples=[17])]


class SilenceRequest(BaseModel):
    """For how long an alert is not to be sent on; 0 ends it."""

    model_config = ConfigDict(extra="forbid")

    hours: float = Field(ge=0, le=24 * 31, examples=[8])


def changes(writer: Callable[..., str]) -> APIRouter:
    """The routes that change an alert; `writer` is a dependency: the user's name, or raises for who may not."""
    router = APIRouter(tags=["health"])

    @router.post(
        "/alerts/{alert_id}/acknowledge",
        summary="Acknowledge it",
        responses=responses(403, 404, 422, 503),
    )
    def acknowledge(alert_id: AlertId, request: Request, now: Now, by: str = Depends(writer)) -> AlertAnswer:
        """The first to say so stays.

        An alert that was not sent on yet is not any more; its end ends it as any other.
        """
        with request.app.state.store.begin() as connection:
            alerts.acknowledge(connection, alert_id, by[:100], now)
            return _answer(connection, alert_id)

    @router.post("/alerts/{alert_id}/silence", summary="Keep it quiet", responses=responses(403, 404, 422, 503))
    def silence(
        alert_id: AlertId, asked: SilenceRequest, request: Request, now: Now, by: str = Depends(writer)
    ) -> AlertAnswer:
        """Meanwhile neither this alert nor a later one of its rule and subject is sent on; it stays in the list."""
        until: datetime | None = now + timedelta(hours=asked.hours) if asked.hours else None
        with request.app.state.store.begin() as connection:
            alerts.silence(connection, alert_id, until)
            alerts.acknowledge(connection, alert_id, by[:100], now)
            return _answer(connection, alert_id)

    return router


def _answer(connection: Store, alert_id: int) -> AlertAnswer:
    alert = numbered(connection, alert_id)
    if alert is None:
        raise Problem(404, "Unknown alert", f"there is no alert {alert_id}; /alerts lists them")
    return AlertAnswer.model_validate(alert, from_attributes=True)
