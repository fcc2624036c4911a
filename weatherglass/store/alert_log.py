"""Alerts as pages show them: those open, and those past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from weatherglass.store.schema import alerts as table


@dataclass(frozen=True)
class LoggedAlert:
    """Something that is wrong, or was. Times in UTC; `resolved_at` None while it is open."""

    id: int
    rule: str
    subject: str
    severity: str
    since: datetime
    seen_at: datetime
    resolved_at: datetime | None
    words: str
    figures: dict[str, Any]
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    silenced_until: datetime | None
    sent_at: datetime | None
    end_sent_at: datetime | None


def listed(
    connection: Connection, limit: int, before_id: int | None = None, opened: bool | None = None
) -> list[LoggedAlert]:
    """Alerts, the last raised first.

    Args:
        before_id: only those with a smaller number: the last number of a page asks for the next one.
        opened: only those still open, or (False) only those resolved.
    """
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(table.c.id < before_id)
    if opened is not None:
        query = query.where(table.c.resolved_at.is_(None) if opened else table.c.resolved_at.is_not(None))
    return [LoggedAlert(**row._asdict()) for row in connection.execute(query)]


def numbered(connection: Connection, alert_id: int) -> LoggedAlert | None:
    """The alert of this number; None if there is none."""
    row = connection.execute(select(table).where(table.c.id == alert_id)).first()
    return LoggedAlert(**row._asdict()) if row else None
