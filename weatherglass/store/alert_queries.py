"""Open and resolved alerts for display."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from weatherglass.store.alerts import Severity
from weatherglass.store.schema import alerts as table


@dataclass(frozen=True)
class LoggedAlert:
    """A row of the table `alerts`. Times in UTC; `resolved_at` is None while the alert is open."""

    id: int
    rule: str
    subject: str
    severity: str
    since: datetime
    seen_at: datetime
    resolved_at: datetime | None
    message: str
    details: dict[str, Any]
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    silenced_until: datetime | None
    sent_at: datetime | None
    resolution_sent_at: datetime | None


def list_alerts(
    connection: Connection, limit: int, before_id: int | None = None, is_open: bool | None = None
) -> list[LoggedAlert]:
    """Alerts, newest first.

    Args:
        before_id: return only alerts with a smaller id; pass the last id of a page to get the next page.
        is_open: return only open (True) or only resolved (False) alerts.
    """
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(table.c.id < before_id)
    if is_open is not None:
        query = query.where(table.c.resolved_at.is_(None) if is_open else table.c.resolved_at.is_not(None))
    return [LoggedAlert(**row._asdict()) for row in connection.execute(query)]


def list_open_alerts(connection: Connection, limit: int) -> list[LoggedAlert]:
    """Open alerts: critical ones first, then the newest."""
    not_critical = table.c.severity != Severity.CRITICAL
    query = select(table).where(table.c.resolved_at.is_(None)).order_by(not_critical, table.c.id.desc()).limit(limit)
    return [LoggedAlert(**row._asdict()) for row in connection.execute(query)]


def get_alert(connection: Connection, alert_id: int) -> LoggedAlert | None:
    """The alert with this id, or None."""
    row = connection.execute(select(table).where(table.c.id == alert_id)).first()
    return LoggedAlert(**row._asdict()) if row else None
