"""Raising and closing alerts: an open one for each rule and subject, until the rule finds it well again.

`alert_log` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select, update

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


def report(connection: Connection, alert: Alert, now: datetime, since: datetime | None = None) -> bool:
    """Open an alert, or renew the open one of the same rule and subject; whether it is a new one. Caller commits.

    `since`: when it began, if that was before now.
    """
    content = {
        "severity": alert.severity.value,
        "words": alert.words,
        "figures": dict(alert.figures),
        "seen_at": now,
    }
    renewed = connection.execute(update(table).where(*_open(alert.rule, alert.subject)).values(**content))
    if renewed.rowcount:
        return False
    connection.execute(table.insert().values(rule=alert.rule, subject=alert.subject, since=since or now, **content))
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


def silenced(connection: Connection, now: datetime) -> set[tuple[str, str]]:
    """Rules and subjects that are to be kept quiet now, also where the alert has ended and begun again meanwhile."""
    query = select(table.c.rule, table.c.subject).where(table.c.silenced_until > now)
    return {(row.rule, row.subject) for row in connection.execute(query)}


def to_send(connection: Connection) -> Sequence[Row[Any]]:
    """Rows of the table: those open that were not sent on, and those over whose beginning was, but not their end."""
    begun = table.c.resolved_at.is_(None) & table.c.sent_at.is_(None)
    over = table.c.resolved_at.is_not(None) & table.c.sent_at.is_not(None) & table.c.end_sent_at.is_(None)
    return connection.execute(select(table).where(begun | over).order_by(table.c.id)).all()


def mark_sent(connection: Connection, alert_id: int, ended: bool, now: datetime) -> None:
    """An alert's beginning, or its end, was sent on. The caller commits."""
    column = "end_sent_at" if ended else "sent_at"
    connection.execute(update(table).where(table.c.id == alert_id).values({column: now}))


def open_of(connection: Connection, rules: Sequence[str]) -> Sequence[Row[Any]]:
    """The open alerts of some rules, rows of the table."""
    return connection.execute(select(table).where(table.c.rule.in_(rules), table.c.resolved_at.is_(None))).all()


def _open(rule: str, subject: str) -> tuple[Any, ...]:
    return table.c.rule == rule, table.c.subject == subject, table.c.resolved_at.is_(None)
