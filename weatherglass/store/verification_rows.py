"""Reading what is to be verified, and writing what came of it. `skill` reads the scores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, func, select

from weatherglass.store.schema import (
    observations,
    paired_losses,
    predictions,
    shadow_predictions,
    verdicts,
    verification,
    verification_runs,
)

LONGEST = timedelta(hours=25)
"""Nothing that was issued longer ago than this has a valid time now."""
ROWS = 5_000
"""Rows inserted at a time."""


def issued_between(connection: Connection, start: datetime, end: datetime, shadow: bool) -> Sequence[Any]:
    """Predictions for readings of [start, end), served or in shadow, with what `verification.issued` wants of them."""
    table = shadow_predictions if shadow else predictions
    names = ("station_id", "timestamp", "model_version", "method", "predictions", "confidence")
    query = select(*(table.c[name] for name in names)).where(table.c.timestamp >= start, table.c.timestamp < end)
    return connection.execute(query.order_by(table.c.timestamp, table.c.station_id)).all()


def new_since(connection: Connection, since: datetime | None) -> tuple[list[datetime], list[datetime]]:
    """Times of observations and of predictions' readings that were stored, or judged wrong, after `since`.

    One of each UTC hour is enough, so at most so many come back.
    """
    found: list[list[datetime]] = []
    for table in (observations, predictions, shadow_predictions):
        hour = func.substr(table.c.timestamp, 1, 13)
        if connection.dialect.name == "postgresql":
            hour = func.date_trunc("hour", table.c.timestamp)
        query = select(func.min(table.c.timestamp)).group_by(hour)
        if since is not None:
            query = query.where(table.c.stored_at > since)
        found.append([time for (time,) in connection.execute(query)])
    judged = select(verdicts.c.timestamp)
    if since is not None:
        judged = judged.where(verdicts.c.at > since)
    return found[0] + [time for (time,) in connection.execute(judged)], found[1] + found[2]


def replace_day(connection: Connection, day: date, rows: Sequence[dict[str, Any]]) -> None:
    """The live scores of a day, in place of those there were. The caller commits."""
    connection.execute(delete(verification).where(verification.c.day == day, verification.c.hindcast.is_(False)))
    _insert(connection, verification, [{**row, "hindcast": False} for row in rows])


def replace_hindcast(connection: Connection, version: str, rows: Sequence[dict[str, Any]]) -> None:
    """All hindcast scores of a version and of the fallbacks it took. The caller commits."""
    versions = {version, *(row["version"] for row in rows)}
    connection.execute(delete(verification).where(verification.c.version.in_(versions), verification.c.hindcast))
    _insert(connection, verification, [{**row, "hindcast": True} for row in rows])


def replace_pairs(
    connection: Connection,
    champion: str,
    challenger: str,
    hindcast: bool,
    start: datetime,
    end: datetime,
    rows: Sequence[dict[str, Any]],
) -> None:
    """Paired losses of two versions with a valid hour in [start, end). The caller commits."""
    who = {"champion": champion, "challenger": challenger, "hindcast": hindcast}
    connection.execute(
        delete(paired_losses).where(
            *(paired_losses.c[name] == value for name, value in who.items()),
            paired_losses.c.valid_hour >= start,
            paired_losses.c.valid_hour < end,
        )
    )
    made = [{**who, **row, "valid_hour": _time(row["valid_hour"])} for row in rows]
    _insert(connection, paired_losses, made)


def pairs(connection: Connection, champion: str, challenger: str, hindcast: bool) -> Sequence[Any]:
    """Paired losses of two versions, oldest first: `valid_hour`, `variable`, `n`, `champion_mae`, `challenger_mae`."""
    query = select(paired_losses).where(
        paired_losses.c.champion == champion,
        paired_losses.c.challenger == challenger,
        paired_losses.c.hindcast == hindcast,
    )
    return connection.execute(query.order_by(paired_losses.c.valid_hour)).all()


def hindcast_versions(connection: Connection) -> set[str]:
    """Versions that have been scored on history."""
    query = select(verification.c.version).where(verification.c.hindcast).distinct()
    return {version for (version,) in connection.execute(query)}


def note_run(connection: Connection, at: datetime, through: datetime, days: int, count: int, seconds: float) -> None:
    """Remember up to when everything stored has been verified. The caller commits."""
    row = {"at": at, "through": through, "days": days, "pairs": count, "seconds": seconds}
    connection.execute(verification_runs.insert().values(row))


def _insert(connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    for begin in range(0, len(rows), ROWS):
        connection.execute(table.insert(), list(rows[begin : begin + ROWS]))


def _time(hour: np.datetime64) -> datetime:
    made: datetime = hour.astype("datetime64[s]").item()
    return made.replace(tzinfo=UTC)
