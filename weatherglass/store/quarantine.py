"""Versions that failed their trial, or in service: they do not serve until they are promoted again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update

from weatherglass.store.schema import quarantine as table


@dataclass(frozen=True)
class Quarantined:
    """A refused version: since when (UTC), refused by which actor, and why."""

    kind: str
    version: str
    since: datetime
    by: str
    reason: str


def put(connection: Connection, refused: Quarantined) -> bool:
    """Quarantine a version; whether it was not there yet (the first reason stays). The caller commits."""
    if any(one.version == refused.version for one in held(connection, refused.kind)):
        return False
    connection.execute(table.insert().values(**vars(refused)))
    return True


def held(connection: Connection, kind: str) -> list[Quarantined]:
    """The versions of a kind in quarantine now, the earliest first."""
    query = select(table).where(table.c.kind == kind, table.c.released_at.is_(None)).order_by(table.c.id)
    return [Quarantined(row.kind, row.version, row.since, row.by, row.reason) for row in connection.execute(query)]


def release(connection: Connection, kind: str, version: str, now: datetime) -> None:
    """Let a version be tried again. The caller commits."""
    connection.execute(
        update(table)
        .where(table.c.kind == kind, table.c.version == version, table.c.released_at.is_(None))
        .values(released_at=now)
    )
