"""Polls of the sources of observations and guidance, one row each, for monitoring and the budget of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, delete, func, select

from weatherglass.store.schema import polls as table

OK = "ok"
RETENTION = timedelta(days=7)


class PollKind(StrEnum):
    """What a poll requests."""

    OBSERVATIONS = "observations"
    GUIDANCE = "guidance"


@dataclass
class Poll:
    """A poll.

    Attributes:
        at: end of the poll, UTC.
        outcome: `OK`, or the kind of error.
        new: observations published for the first time; published runs of guidance.
        filled: published observations of steps that earlier polls missed.
        revised: observations published again with other values.
        repeated: observations, or runs of guidance, not published because nothing changed.
        unobserved: stations without a usable observation, or, for each model, without usable guidance.
        calls: API calls that count towards the budget of the source.
        clock_skew: seconds by which the local clock is ahead of the source; None if the source sent no time.
    """

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
    kind: PollKind = PollKind.OBSERVATIONS


def save_poll(connection: Connection, poll: Poll) -> None:
    """Save a poll and delete polls older than `RETENTION`. The caller commits."""
    connection.execute(table.insert().values(**asdict(poll) | {"kind": poll.kind.value}))
    connection.execute(delete(table).where(table.c.at < poll.at - RETENTION))


def polls_after(connection: Connection, poll_id: int) -> tuple[Sequence[Poll], int]:
    """Polls of observations saved after the one with this id, oldest first, and the id of the last one."""
    query = select(table).where(table.c.id > poll_id, _of(PollKind.OBSERVATIONS))
    polls = []
    for row in connection.execute(query.order_by(table.c.id)).all():
        columns = row._asdict()
        poll_id = columns.pop("id")
        polls.append(Poll(**columns | {"kind": PollKind(row.kind)}))
    return polls, poll_id


def last_id(connection: Connection) -> int:
    """Id of the newest poll of observations; 0 if there is none."""
    return connection.execute(select(func.max(table.c.id)).where(_of(PollKind.OBSERVATIONS))).scalar() or 0


def last_success(connection: Connection) -> datetime | None:
    """Time of the last successful poll of observations, or None."""
    observed = _of(PollKind.OBSERVATIONS)
    return connection.execute(select(func.max(table.c.at)).where(table.c.outcome == OK, observed)).scalar()


def last_poll(connection: Connection) -> Poll | None:
    """The newest poll of observations, successful or not, or None."""
    polls, _ = polls_after(connection, last_id(connection) - 1)
    return polls[-1] if polls else None


def calls_since(connection: Connection, start: datetime, kind: PollKind | None = None) -> int:
    """API calls used since a time by polls of a kind, or of all."""
    query = select(func.sum(table.c.calls)).where(table.c.at >= start)
    if kind is not None:
        query = query.where(_of(kind))
    return connection.execute(query).scalar() or 0


def _of(kind: PollKind) -> ColumnElement[bool]:
    return table.c.kind == kind.value
