"""The promotion log, written by the registry only. It is append-only: triggers reject updates and deletes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from weatherglass.store.schema import promotions as table


class Action(StrEnum):
    PROMOTE = "promote"
    """A version becomes champion."""
    ROLLBACK = "rollback"
    """An earlier champion becomes champion again."""
    CHALLENGE = "challenge"
    """A version becomes challenger."""
    WITHDRAW = "withdraw"
    """The challenger is removed; `to_version` is None."""


CHAMPION_ACTIONS = (Action.PROMOTE, Action.ROLLBACK)


@dataclass(frozen=True)
class Promotion:
    """An entry of the log; `at` in UTC, `from_version` is the previous champion or challenger."""

    at: datetime
    kind: str
    action: Action
    from_version: str | None
    to_version: str | None
    changed_by: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


def append(connection: Connection, promotion: Promotion) -> None:
    """Append an entry. The caller commits."""
    row = {**asdict(promotion), "action": promotion.action.value, "details": dict(promotion.details)}
    connection.execute(table.insert().values(row))


def log(connection: Connection, kind: str | None = None) -> list[Promotion]:
    """The log, oldest first, of one kind of model or of all."""
    query = select(table).order_by(table.c.id)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    names = list(Promotion.__dataclass_fields__)
    rows = ({name: getattr(row, name) for name in names} for row in connection.execute(query))
    return [Promotion(**{**row, "action": Action(row["action"])}) for row in rows]


def succession(connection: Connection, kind: str) -> list[str]:
    """The champion and its predecessors, newest first, each version once.

    A rollback removes the versions that followed the one it returns to.
    """
    versions: list[str] = []
    for entry in log(connection, kind):
        if entry.to_version is None or entry.action not in CHAMPION_ACTIONS:
            continue
        if entry.action is Action.ROLLBACK and entry.to_version in versions:
            del versions[versions.index(entry.to_version) + 1 :]
        else:
            versions = [*(version for version in versions if version != entry.to_version), entry.to_version]
    return versions[::-1]


def last_promotions(connection: Connection, limit: int) -> list[Any]:
    """The promotion log, newest first, as rows of the table `promotions`."""
    return list(connection.execute(select(table).order_by(table.c.id.desc()).limit(limit)))
