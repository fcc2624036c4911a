"""`GET /alerts`, `POST /alerts/{alert_id}/acknowledge` and `POST /alerts/{alert_id}/silence`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from weatherglass.api.dependencies import ConnectionDep, NowDep
from weatherglass.api.problems import UNKNOWN_ALERT, Problem, error_responses
from weatherglass.api.routes.anomalies import MAX_ID
from weatherglass.records import Time
from weatherglass.store import alert_queries, alerts

router = APIRouter(tags=["health"])


class AlertItem(BaseModel):
    """An alert about the pipeline or a model."""

    id: int = Field(examples=[17])
    rule: str = Field(description="Name of the alert rule.", examples=["input_drift"])
    subject: str = Field(
        description="What the alert is about, such as a model version, a variable, a station or a job.",
        examples=["version 3, temperature"],
    )
    severity: str = Field(description="`warning` or `critical`.", examples=["warning"])
    since: Time = Field(description="When the condition began.", examples=["2026-01-05T12:10:00Z"])
    seen_at: Time = Field(description="When the condition was last observed.", examples=["2026-01-05T12:15:00Z"])
    resolved_at: Time | None = Field(description="Null while the alert is open.", examples=[None])
    message: str = Field(description="What is wrong and what to do.")
    details: dict[str, Any] = Field(
        description="Details of the alert: measured values and, for alert rules, `summary`, `impact`, `unaffected`, "
        "`runbook` and links.",
        examples=[{"psi": 0.41, "psi_limit": 0.25, "ks": 0.18, "n": 3360}],
    )
    acknowledged_by: str | None = Field(description="User who acknowledged the alert; null if not acknowledged.")
    acknowledged_at: Time | None = Field(description="Time of the acknowledgement.")
    silenced_until: Time | None = Field(description="No notifications are sent until then.")


class AlertsResponse(BaseModel):
    alerts: list[AlertItem] = Field(description="The most recently raised alert first.")
    next_cursor: int | None = Field(
        description="Value of `cursor` for the next page; null on the last page.", examples=[None]
    )


@router.get("/alerts", summary="List open and resolved alerts", responses=error_responses(422, 503))
def list_alerts(
    store: ConnectionDep,
    open_only: Annotated[
        bool | None, Query(alias="open", description="`true`: open alerts only; `false`: resolved alerts only.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of alerts per page.")] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=MAX_ID, description="`next_cursor` of the previous page.")] = None,
) -> AlertsResponse:
    """Alerts about the pipeline and its models, raised by the monitor and by the verification."""
    rows = alert_queries.list_alerts(store, limit + 1, cursor, open_only)
    page = [AlertItem.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return AlertsResponse(alerts=page, next_cursor=page[-1].id if len(rows) > limit else None)


AlertId = Annotated[int, Path(ge=1, le=MAX_ID, description="Alert id, as returned by `/alerts`.", examples=[17])]


class SilenceRequest(BaseModel):
    """How long to silence an alert."""

    model_config = ConfigDict(extra="forbid")

    hours: float = Field(description="Duration from now in hours; 0 ends the silence.", ge=0, le=24 * 31, examples=[8])


def write_routes(require_writer: Callable[..., str]) -> APIRouter:
    """The routes that change an alert. `require_writer` is a dependency that returns the user name or raises."""
    router = APIRouter(tags=["health"])

    @router.post(
        "/alerts/{alert_id}/acknowledge",
        summary="Acknowledge an alert",
        responses=error_responses(403, 404, 422, 503),
    )
    def acknowledge(alert_id: AlertId, request: Request, now: NowDep, user: str = Depends(require_writer)) -> AlertItem:
        """Record that the user is handling the alert. Only the first acknowledgement is recorded.

        A notification that is still pending is not sent. The alert is resolved when its condition ends.
        """
        with request.app.state.store.begin() as connection:
            alerts.acknowledge(connection, alert_id, user[:100], now)
            return _alert_item(connection, alert_id)

    @router.post(
        "/alerts/{alert_id}/silence", summary="Silence an alert", responses=error_responses(403, 404, 422, 503)
    )
    def silence(
        alert_id: AlertId, body: SilenceRequest, request: Request, now: NowDep, user: str = Depends(require_writer)
    ) -> AlertItem:
        """Send no notifications for this alert, or for later alerts of the same rule and subject, until then.

        Silenced alerts stay in the list. Silencing also acknowledges the alert.
        """
        until: datetime | None = now + timedelta(hours=body.hours) if body.hours else None
        with request.app.state.store.begin() as connection:
            alerts.silence(connection, alert_id, until)
            alerts.acknowledge(connection, alert_id, user[:100], now)
            return _alert_item(connection, alert_id)

    return router


def _alert_item(connection: ConnectionDep, alert_id: int) -> AlertItem:
    alert = alert_queries.get_alert(connection, alert_id)
    if alert is None:
        raise Problem(UNKNOWN_ALERT, f"Alert {alert_id} does not exist. See /alerts.")
    return AlertItem.model_validate(alert, from_attributes=True)
