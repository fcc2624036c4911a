"""Quarantine of model versions that failed validation or failed in service.

A version in quarantine is not used until it is promoted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from weatherglass.store.schema import quarantine as table


@dataclass(frozen=True)
class QuarantinedVersion:
    """A version in quarantine since a time (UTC), with the actor that rejected it and the reason."""

    kind: str
    version: str
    since: datetime
    by: str
    reason: str


def add(connection: Connection, entry: QuarantinedVersion) -> bool:
    """Quarantine a version; a version already in quarantine keeps its first reason. The caller commits.

    Returns:
        Whether the version was added.
    """
    if any(known.version == entry.version for known in quarantined_versions(connection, entry.kind)):
        return False
    connection.execute(table.insert().values(**vars(entry)))
    return True


def quarantined_versions(connection: Connection, kind: str) -> list[QuarantinedVersion]:
    """Versions of a kind that are in quarantine, oldest entry first."""
    query = select(table).where(table.c.kind == kind, table.c.released_at.is_(None)).order_by(table.c.id)
    return [
        QuarantinedVersion(row.kind, row.version, row.since, row.by, row.reason) for row in connection.execute(query)
    ]


def quarantine_rows(connection: Connection) -> list[Any]:
    """Versions in quarantine, newest entry first: `kind`, `version`, `since`, `by`, `reason`."""
    query = select(table).where(table.c.released_at.is_(None)).order_by(table.c.id.desc())
    return list(connection.execute(query))


def release(connection: Connection, kind: str, version: str, now: datetime) -> None:
    """Release a version, so that its validation is repeated. The caller commits."""
    connection.execute(
        update(table)
        .where(table.c.kind == kind, table.c.version == version, table.c.released_at.is_(None))
        .values(released_at=now)
    )
