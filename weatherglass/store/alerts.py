"""Raising and closing alerts: an open one for each rule and subject, until the rule finds it well again.

`alert_log` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from weatherglass.store.schema import alerts as table


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Alert:
    """What a rule found: `subject` is what it is about, `words` a sentence for a person, `figures` plain JSON."""

    rule: str
    subject: str
    severity: Severity
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def report(connection: Connection, alert: Alert, now: datetime) -> bool:
    """Open an alert, or renew the open one of the same rule and subject; whether it is a new one. Caller commits."""
    content = {
        "severity": alert.severity.value,
        "words": alert.words,
        "figures": dict(alert.figures),
        "seen_at": now,
    }
    renewed = connection.execute(update(table).where(*_open(alert.rule, alert.subject)).values(**content))
    if renewed.rowcount:
        return False
    connection.execute(table.insert().values(rule=alert.rule, subject=alert.subject, since=now, **content))
    return True


def resolve(connection: Connection, rule: str, subject: str, now: datetime) -> bool:
    """Close the open alert of a rule and subject; whether there was one. The caller commits."""
    return bool(connection.execute(update(table).where(*_open(rule, subject)).values(resolved_at=now)).rowcount)


def settle(connection: Connection, rule: str, found: list[Alert], now: datetime) -> None:
    """Make the open alerts of a rule exactly those found now: open and renew these, close the others."""
    for alert in found:
        report(connection, alert, now)
    subjects = [alert.subject for alert in found]
    connection.execute(
        update(table)
        .where(table.c.rule == rule, table.c.resolved_at.is_(None), table.c.subject.not_in(subjects))
        .values(resolved_at=now)
    )


def acknowledge(connection: Connection, alert_id: int, by: str, now: datetime) -> bool:
    """Note who has seen an alert; whether there is such an alert. The first to see it stays."""
    known = connection.execute(select(table.c.id).where(table.c.id == alert_id)).first()
    connection.execute(
        update(table)
        .where(table.c.id == alert_id, table.c.acknowledged_by.is_(None))
        .values(acknowledged_by=by, acknowledged_at=now)
    )
    return known is not None


def silence(connection: Connection, alert_id: int, until: datetime | None) -> bool:
    """Keep an alert quiet until a time (None: no more); whether there is such an alert."""
    changed = connection.execute(update(table).where(table.c.id == alert_id).values(silenced_until=until))
    return bool(changed.rowcount)


def _open(rule: str, subject: str) -> tuple[Any, ...]:
    return table.c.rule == rule, table.c.subject == subject, table.c.resolved_at.is_(None)
