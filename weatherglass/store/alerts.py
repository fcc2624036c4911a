"""Raise and resolve alerts. At most one alert is open for each rule and subject.

`alert_queries` lists them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from weatherglass.store.schema import alerts as table

RETENTION = timedelta(days=400)
"""How long an alert is kept after its end."""


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Alert:
    """The finding of an alert rule.

    Attributes:
        subject: the affected version, variable, station or job.
        message: a sentence for display.
        details: the values behind the finding, JSON-serializable.
    """

    rule: str
    subject: str
    severity: Severity
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)


def raise_alert(connection: Connection, alert: Alert, now: datetime, since: datetime | None = None) -> bool:
    """Open an alert, or update the open alert of the same rule and subject. The caller commits.

    Args:
        since: start of the condition, if it began before `now`.

    Returns:
        Whether a new alert was opened.
    """
    content = {
        "severity": alert.severity.value,
        "message": alert.message,
        "details": dict(alert.details),
        "seen_at": now,
    }
    updated = connection.execute(update(table).where(*_is_open(alert.rule, alert.subject)).values(**content))
    if updated.rowcount:
        return False
    connection.execute(table.insert().values(rule=alert.rule, subject=alert.subject, since=since or now, **content))
    return True


def resolve(connection: Connection, rule: str, subject: str, now: datetime) -> bool:
    """Resolve the open alert of a rule and subject; returns whether there was one. The caller commits."""
    return bool(connection.execute(update(table).where(*_is_open(rule, subject)).values(resolved_at=now)).rowcount)


def set_open_alerts(connection: Connection, rule: str, current: Sequence[Alert], now: datetime) -> None:
    """Raise the current alerts of a rule and resolve all its other open alerts. The caller commits."""
    for alert in current:
        raise_alert(connection, alert, now)
    subjects = [alert.subject for alert in current]
    connection.execute(
        update(table)
        .where(table.c.rule == rule, table.c.resolved_at.is_(None), table.c.subject.not_in(subjects))
        .values(resolved_at=now)
    )


def acknowledge(connection: Connection, alert_id: int, by: str, now: datetime) -> bool:
    """Acknowledge an alert; the first acknowledgement is kept. Returns whether the alert exists."""
    known = connection.execute(select(table.c.id).where(table.c.id == alert_id)).first()
    connection.execute(
        update(table)
        .where(table.c.id == alert_id, table.c.acknowledged_by.is_(None))
        .values(acknowledged_by=by, acknowledged_at=now)
    )
    return known is not None


def silence(connection: Connection, alert_id: int, until: datetime | None) -> bool:
    """Silence an alert until a time, or end its silence (None). Returns whether the alert exists."""
    changed = connection.execute(update(table).where(table.c.id == alert_id).values(silenced_until=until))
    return bool(changed.rowcount)


def silenced(connection: Connection, now: datetime) -> set[tuple[str, str]]:
    """Silenced (rule, subject) pairs. A silence also covers later alerts of the same rule and subject."""
    query = select(table.c.rule, table.c.subject).where(table.c.silenced_until > now)
    return {(row.rule, row.subject) for row in connection.execute(query)}


def pending_notifications(connection: Connection, partly_sent: Collection[int] = ()) -> Sequence[Row[Any]]:
    """Alerts to notify about: open alerts not yet sent, and resolved alerts whose start was sent but not their end.

    Args:
        partly_sent: ids of alerts whose start was sent by some channels, and not by others.
    """
    started = table.c.resolved_at.is_(None) & table.c.sent_at.is_(None)
    start_sent = table.c.sent_at.is_not(None) | table.c.id.in_(partly_sent)
    resolved = table.c.resolved_at.is_not(None) & start_sent & table.c.resolution_sent_at.is_(None)
    return connection.execute(select(table).where(started | resolved).order_by(table.c.id)).all()


def mark_notified(connection: Connection, alert_id: int, resolved: bool, now: datetime) -> None:
    """Record that the start of an alert, or its resolution, was sent. The caller commits."""
    column = "resolution_sent_at" if resolved else "sent_at"
    connection.execute(update(table).where(table.c.id == alert_id).values({column: now}))


def thin(connection: Connection, now: datetime) -> int:
    """Delete alerts that were resolved more than `RETENTION` ago; returns their number. The caller commits."""
    return connection.execute(delete(table).where(table.c.resolved_at < now - RETENTION)).rowcount


def open_alerts(connection: Connection, rules: Sequence[str]) -> Sequence[Row[Any]]:
    """Rows of the open alerts of some rules."""
    return connection.execute(select(table).where(table.c.rule.in_(rules), table.c.resolved_at.is_(None))).all()


def _is_open(rule: str, subject: str) -> tuple[Any, ...]:
    return table.c.rule == rule, table.c.subject == subject, table.c.resolved_at.is_(None)
