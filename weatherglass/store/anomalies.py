"""Flagged readings: the predictions whose verdict says that the reading cannot be trusted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, select, true

from weatherglass.records import Quality
from weatherglass.store.predictions import StoredPrediction, stored
from weatherglass.store.schema import predictions as table
from weatherglass.store.schema import verdicts
from weatherglass.store.verdicts import Judgement


def flagged(
    connection: Connection,
    limit: int,
    before_id: int | None = None,
    since: datetime | None = None,
    station_id: str | None = None,
    check: str | None = None,
    least_score: float | None = None,
    judged: Judgement | bool | None = None,
    until: datetime | None = None,
) -> list[StoredPrediction]:
    """Flagged readings, last stored first.

    Args:
        limit: at most so many.
        before_id: only those with a smaller number: the last number of a page asks for the next one.
        since: only readings at or after this time (the reading's own).
        check: only those that failed this check, named as in the record (`range`, `step`, ...).
        least_score: only those with at least this score.
        judged: only those of which a person said this; False: of which nobody has said anything, True: anything.
        until: only readings before this time.
    """
    query = select(table).where(table.c.is_anomaly == true()).order_by(table.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(table.c.id < before_id)
    if since is not None:
        query = query.where(table.c.timestamp >= since)
    if until is not None:
        query = query.where(table.c.timestamp < until)
    if station_id is not None:
        query = query.where(table.c.station_id == station_id)
    if check is not None:
        query = query.where(table.c.anomaly["checks"][check].as_string() == Quality.FAILED.value)
    if least_score is not None:
        query = query.where(table.c.score >= least_score)
    if judged is not None:
        same = and_(verdicts.c.station_id == table.c.station_id, verdicts.c.timestamp == table.c.timestamp)
        query = query.outerjoin(verdicts, same)
        if isinstance(judged, Judgement):
            query = query.where(verdicts.c.verdict == judged.value)
        else:
            query = query.where(verdicts.c.verdict.is_not(None) if judged else verdicts.c.verdict.is_(None))
    return [stored(row) for row in connection.execute(query)]


def numbered(connection: Connection, number: int) -> StoredPrediction | None:
    """The flagged reading of this number; None if there is none."""
    row = connection.execute(select(table).where(table.c.id == number, table.c.is_anomaly == true())).first()
    return stored(row) if row else None
