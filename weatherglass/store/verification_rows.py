"""Read the forecasts to verify and write their scores. `verification_queries` aggregates the scores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, func, select

from weatherglass.store.schema import (
    guidance_verification,
    observations,
    paired_losses,
    predictions,
    shadow_predictions,
    verdicts,
    verification,
    verification_runs,
)

MAX_FORECAST_AGE = timedelta(hours=25)
"""A forecast issued earlier than this has no valid time at or after now."""
RETENTION = timedelta(days=400)
"""Longer than the longest period of the API, a year."""
INSERT_BATCH = 5_000
"""Rows per INSERT statement."""


def forecasts_between(connection: Connection, start: datetime, end: datetime, shadow: bool) -> Sequence[Any]:
    """Served or shadow predictions for readings of [start, end), with the columns for `forecasts.from_rows`."""
    table = shadow_predictions if shadow else predictions
    names = ("station_id", "timestamp", "model_version", "method", "predictions", "confidence")
    query = select(*(table.c[name] for name in names)).where(table.c.timestamp >= start, table.c.timestamp < end)
    return connection.execute(query.order_by(table.c.timestamp, table.c.station_id)).all()


def changed_since(connection: Connection, since: datetime | None) -> tuple[list[datetime], list[datetime]]:
    """Times of observations and of predicted readings that were stored, or given a verdict, after `since`.

    Returns:
        Times of observations and verdicts, and times of predictions: of the stored records, one time per UTC hour.
    """
    stored: list[list[datetime]] = []
    for table in (observations, predictions, shadow_predictions):
        hour = func.substr(table.c.timestamp, 1, 13)
        if connection.dialect.name == "postgresql":
            hour = func.date_trunc("hour", table.c.timestamp)
        query = select(func.min(table.c.timestamp)).group_by(hour)
        if since is not None:
            query = query.where(table.c.stored_at > since)
        stored.append([time for (time,) in connection.execute(query)])
    with_verdict = select(verdicts.c.timestamp)
    if since is not None:
        with_verdict = with_verdict.where(verdicts.c.at > since)
    return stored[0] + [time for (time,) in connection.execute(with_verdict)], stored[1] + stored[2]


def replace_day(connection: Connection, day: date, rows: Sequence[dict[str, Any]]) -> None:
    """Replace the live scores of a day. The caller commits."""
    connection.execute(delete(verification).where(verification.c.day == day, verification.c.hindcast.is_(False)))
    insert_rows(connection, verification, [{**row, "hindcast": False} for row in rows])


def replace_hindcast(connection: Connection, version: str, rows: Sequence[dict[str, Any]]) -> None:
    """Replace all hindcast scores of a version and of the fallback methods in it. The caller commits."""
    versions = {version, *(row["version"] for row in rows)}
    connection.execute(delete(verification).where(verification.c.version.in_(versions), verification.c.hindcast))
    insert_rows(connection, verification, [{**row, "hindcast": True} for row in rows])


def thin(connection: Connection, today: date) -> None:
    """Delete scores of UTC days more than `RETENTION` ago. The caller commits."""
    for table in (verification, guidance_verification):
        connection.execute(delete(table).where(table.c.day < today - RETENTION))


def delete_hindcasts(connection: Connection) -> None:
    """Delete the hindcast scores of all versions. The caller commits."""
    connection.execute(delete(verification).where(verification.c.hindcast))


def replace_paired_losses(
    connection: Connection,
    champion: str,
    challenger: str,
    hindcast: bool,
    start: datetime,
    end: datetime,
    rows: Sequence[dict[str, Any]],
) -> None:
    """Replace the paired losses of two versions with a valid hour in [start, end). The caller commits."""
    key = {"champion": champion, "challenger": challenger, "hindcast": hindcast}
    connection.execute(
        delete(paired_losses).where(
            *(paired_losses.c[name] == value for name, value in key.items()),
            paired_losses.c.valid_hour >= start,
            paired_losses.c.valid_hour < end,
        )
    )
    insert_rows(connection, paired_losses, [{**key, **row, "valid_hour": _time(row["valid_hour"])} for row in rows])


def paired_losses_of(connection: Connection, champion: str, challenger: str, hindcast: bool) -> Sequence[Any]:
    """Paired losses of two versions, oldest first: `valid_hour`, `variable`, `n`, `champion_mae`, `challenger_mae`."""
    query = select(paired_losses).where(
        paired_losses.c.champion == champion,
        paired_losses.c.challenger == challenger,
        paired_losses.c.hindcast == hindcast,
    )
    return connection.execute(query.order_by(paired_losses.c.valid_hour)).all()


def hindcast_versions(connection: Connection) -> set[str]:
    """Versions that have hindcast scores."""
    query = select(verification.c.version).where(verification.c.hindcast).distinct()
    return {version for (version,) in connection.execute(query)}


def save_run(connection: Connection, at: datetime, through: datetime, days: int, pairs: int, seconds: float) -> None:
    """Save a verification run that covers everything stored up to `through`. The caller commits."""
    row = {"at": at, "through": through, "days": days, "pairs": pairs, "seconds": seconds}
    connection.execute(verification_runs.insert().values(row))


def insert_rows(connection: Connection, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows in batches of `INSERT_BATCH`. The caller commits."""
    for begin in range(0, len(rows), INSERT_BATCH):
        connection.execute(table.insert(), list(rows[begin : begin + INSERT_BATCH]))


def _time(hour: np.datetime64) -> datetime:
    time: datetime = hour.astype("datetime64[s]").item()
    return time.replace(tzinfo=UTC)
