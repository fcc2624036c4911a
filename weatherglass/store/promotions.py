"""The log of promotions: append-only, the database refuses changes. The registry writes it, nobody else."""

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
    """Made champion."""
    ROLLBACK = "rollback"
    """Made champion again, in place of a worse one."""
    CHALLENGE = "challenge"
    """Made challenger."""
    WITHDRAW = "withdraw"
    """Challenger no more, `to_version` is None."""


TO_CHAMPION = (Action.PROMOTE, Action.ROLLBACK)


@dataclass(frozen=True)
class Promotion:
    """A line of the log; `at` in UTC, `from_version` is what had the place before."""

    at: datetime
    kind: str
    action: Action
    from_version: str | None
    to_version: str | None
    who: str
    why: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def append(connection: Connection, promotion: Promotion) -> None:
    """The caller commits."""
    row = {**asdict(promotion), "action": promotion.action.value, "figures": dict(promotion.figures)}
    connection.execute(table.insert().values(row))


def log(connection: Connection, kind: str | None = None) -> list[Promotion]:
    """The log, oldest first; of one kind of model, or of all."""
    query = select(table).order_by(table.c.id)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    names = list(Promotion.__dataclass_fields__)
    rows = ({name: getattr(row, name) for name in names} for row in connection.execute(query))
    return [Promotion(**{**row, "action": Action(row["action"])}) for row in rows]


def succession(connection: Connection, kind: str) -> list[str]:
    """The champion and those before it, the latest first, each once.

    A rollback takes the versions after the one it went back to out of the line.
    """
    line: list[str] = []
    for step in log(connection, kind):
        if step.to_version is None or step.action not in TO_CHAMPION:
            continue
        if step.action is Action.ROLLBACK and step.to_version in line:
            del line[line.index(step.to_version) + 1 :]
        else:
            line = [*(version for version in line if version != step.to_version), step.to_version]
    return line[::-1]
