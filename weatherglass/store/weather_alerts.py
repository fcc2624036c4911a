"""Weather alert rules of users, and the alerts that they raised. At most one alert is open per rule and station."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from weatherglass.store.schema import weather_alert_rules as rules_table
from weatherglass.store.schema import weather_alerts as table

RETENTION = timedelta(days=400)
"""How long an alert is kept after its end: a season can be compared with the same one of the year before."""


class EndReason(StrEnum):
    CLEARED = "cleared"
    """The rule was evaluated, and its condition for the end holds."""
    EXPIRED = "expired"
    """The hours of the alert have passed without a newer forecast."""
    DELETED = "deleted"
    """The rule was deleted."""


@dataclass(frozen=True)
class StoredRule:
    """A rule in use. Times in UTC.

    Attributes:
        definition: as in `weather_alerts.rule`, which validates it.
        evaluated_at: None before the first evaluation.
        not_evaluated: reason by station, at the last evaluation.
    """

    id: int
    definition: dict[str, Any]
    created_at: datetime
    created_by: str
    evaluated_at: datetime | None
    not_evaluated: dict[str, str]


@dataclass(frozen=True)
class WeatherAlert:
    """A row of the table `weather_alerts`. Times in UTC; `ended_at` is None while the alert is open."""

    id: int
    rule_id: int
    rule_name: str
    station_id: str
    since: datetime
    seen_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    details: dict[str, Any]
    sent_at: datetime | None
    end_sent_at: datetime | None


def add_rule(connection: Connection, definition: Mapping[str, Any], by: str, now: datetime) -> int:
    """Add a rule and return its id. The caller commits."""
    row = {"definition": dict(definition), "created_by": by[:100], "created_at": now, "not_evaluated": {}}
    result = connection.execute(rules_table.insert().values(row))
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


def rules(connection: Connection) -> list[StoredRule]:
    """The rules in use, oldest first."""
    columns = [rules_table.c[name] for name in StoredRule.__dataclass_fields__]
    query = select(*columns).where(rules_table.c.deleted_at.is_(None)).order_by(rules_table.c.id)
    return [StoredRule(**row._asdict()) for row in connection.execute(query)]


def get_rule(connection: Connection, rule_id: int) -> StoredRule | None:
    """The rule with this id, None if it is not in use."""
    return next((rule for rule in rules(connection) if rule.id == rule_id), None)


def count_rules(connection: Connection) -> int:
    """Number of rules in use."""
    query = select(func.count()).select_from(rules_table).where(rules_table.c.deleted_at.is_(None))
    return int(connection.execute(query).scalar_one())


def delete_rule(connection: Connection, rule_id: int, now: datetime) -> bool:
    """Delete a rule and end its open alerts; returns whether it was in use. The caller commits."""
    in_use = rules_table.c.id == rule_id, rules_table.c.deleted_at.is_(None)
    deleted = connection.execute(update(rules_table).where(*in_use).values(deleted_at=now)).rowcount
    connection.execute(
        update(table)
        .where(table.c.rule_id == rule_id, table.c.ended_at.is_(None))
        .values(ended_at=now, end_reason=EndReason.DELETED.value)
    )
    return bool(deleted)


def save_evaluation(connection: Connection, rule_id: int, now: datetime, not_evaluated: Mapping[str, str]) -> bool:
    """Record that a rule was evaluated, and lock it until the caller commits; returns whether it is in use."""
    values = {"evaluated_at": now, "not_evaluated": dict(not_evaluated)}
    in_use = rules_table.c.id == rule_id, rules_table.c.deleted_at.is_(None)
    return bool(connection.execute(update(rules_table).where(*in_use).values(values)).rowcount)


def open_alert(
    connection: Connection, rule_id: int, rule_name: str, station_id: str, details: Mapping[str, Any], now: datetime
) -> None:
    """Open an alert. The caller commits.

    Raises:
        IntegrityError: one is open for this rule and station.
    """
    row = {"rule_id": rule_id, "rule_name": rule_name, "station_id": station_id, "details": dict(details)}
    connection.execute(table.insert().values(row | {"since": now, "seen_at": now}))


def renew(connection: Connection, details: Mapping[int, Mapping[str, Any]], now: datetime) -> None:
    """Update open alerts, by id. The caller commits."""
    if not details:
        return
    is_open = table.c.id == bindparam("alert_id"), table.c.ended_at.is_(None)
    renewed = update(table).where(*is_open).values(seen_at=now, details=bindparam("found"))
    connection.execute(renewed, [{"alert_id": alert_id, "found": dict(found)} for alert_id, found in details.items()])


def end(connection: Connection, alert_id: int, reason: EndReason, now: datetime) -> None:
    """End an open alert. The caller commits."""
    is_open = table.c.id == alert_id, table.c.ended_at.is_(None)
    connection.execute(update(table).where(*is_open).values(ended_at=now, end_reason=reason.value))


def open_alerts(connection: Connection) -> dict[tuple[int, str], WeatherAlert]:
    """The open alerts, by rule id and station id."""
    query = select(table).where(table.c.ended_at.is_(None)).order_by(table.c.id)
    found = [WeatherAlert(**row._asdict()) for row in connection.execute(query)]
    return {(alert.rule_id, alert.station_id): alert for alert in found}


def pending_messages(connection: Connection) -> list[WeatherAlert]:
    """Open alerts whose start was not sent to all channels, and ended ones whose end was not.

    Nothing has to be sent about an ended one whose start no channel got. A user who deletes a rule knows that its
    alerts end.
    """
    started = table.c.ended_at.is_(None) & table.c.sent_at.is_(None)
    ended = (table.c.end_reason != EndReason.DELETED.value) & table.c.end_sent_at.is_(None)
    query = select(table).where(started | ended).order_by(table.c.id)
    return [WeatherAlert(**row._asdict()) for row in connection.execute(query)]


def mark_sent(connection: Connection, alerts: Sequence[WeatherAlert], now: datetime) -> None:
    """Record that the messages about the start, or the end of ended ones, were sent. The caller commits."""
    for column, is_ended in ((table.c.sent_at, False), (table.c.end_sent_at, True)):
        ids = [{"alert_id": alert.id} for alert in alerts if (alert.ended_at is not None) == is_ended]
        if ids:
            connection.execute(update(table).where(table.c.id == bindparam("alert_id")).values({column.name: now}), ids)


def thin(connection: Connection, now: datetime) -> int:
    """Delete alerts that ended more than `RETENTION` ago; returns their number. The caller commits."""
    return connection.execute(delete(table).where(table.c.ended_at < now - RETENTION)).rowcount


def list_alerts(
    connection: Connection,
    limit: int,
    before_id: int | None = None,
    is_open: bool | None = None,
    station_id: str | None = None,
) -> list[WeatherAlert]:
    """Alerts, newest first.

    Args:
        before_id: return only alerts with a smaller id; pass the last id of a page to get the next page.
        is_open: return only open (True) or only ended (False) alerts.
    """
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(table.c.id < before_id)
    if is_open is not None:
        query = query.where(table.c.ended_at.is_(None) if is_open else table.c.ended_at.is_not(None))
    if station_id is not None:
        query = query.where(table.c.station_id == station_id)
    return [WeatherAlert(**row._asdict()) for row in connection.execute(query)]
