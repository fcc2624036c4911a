"""Polls of the source, one row each, so that somebody else can see how they go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from weatherglass.store.schema import polls as table

OK = "ok"
KEPT = timedelta(days=7)


@dataclass
class Poll:
    """A poll that ended `at`. Counts are observations; `clock_skew` in seconds, None where the source told no time."""

    at: datetime
    seconds: float = 0.0
    outcome: str = OK
    new: int = 0
    filled: int = 0
    revised: int = 0
    repeated: int = 0
    unobserved: int = 0
    calls: int = 0
    clock_skew: float | None = None


def record(connection: Connection, poll: Poll) -> None:
    """Keep a poll, and forget those of more than a week ago. The caller commits."""
    connection.execute(table.insert().values(**asdict(poll)))
    connection.execute(delete(table).where(table.c.at < poll.at - KEPT))


def after(connection: Connection, number: int) -> tuple[Sequence[Poll], int]:
    """The polls recorded after the one of this number, oldest first, and the number of the last."""
    rows = connection.execute(select(table).where(table.c.id > number).order_by(table.c.id)).all()
    found = []
    for row in rows:
        columns = row._asdict()
        number = columns.pop("id")
        found.append(Poll(**columns))
    return found, number


def last_number(connection: Connection) -> int:
    """Of the newest poll; 0 before the first."""
    return connection.execute(select(func.max(table.c.id))).scalar() or 0


def last_answered(connection: Connection) -> datetime | None:
    """When a poll last succeeded."""
    return connection.execute(select(func.max(table.c.at)).where(table.c.outcome == OK)).scalar()


def newest(connection: Connection) -> Poll | None:
    """The last poll, whatever came of it."""
    polls, _ = after(connection, last_number(connection) - 1)
    return polls[-1] if polls else None


def calls_since(connection: Connection, start: datetime) -> int:
    """Calls of the source's budget used since a time."""
    return connection.execute(select(func.sum(table.c.calls)).where(table.c.at >= start)).scalar() or 0
