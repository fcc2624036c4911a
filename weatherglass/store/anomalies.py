"""Flagged readings: the predictions whose verdict says that the reading cannot be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, literal, select, true, tuple_

from weatherglass.records import Origin, Quality
from weatherglass.store.schema import predictions as table
from weatherglass.store.schema import verdicts
from weatherglass.store.verdicts import Judgement


@dataclass(frozen=True)
class JudgedReading:
    """A reading, flagged or not, and what the detector says of it; the forecast that was stored with it is left out.

    `id` is its number in the store, `found` the document `Anomaly` as it lies there, times in UTC.
    """

    id: int
    station_id: str
    timestamp: datetime
    is_anomaly: bool
    score: float
    found: dict[str, Any]
    model_version: str
    source: Origin | None
    stored_at: datetime

    @property
    def failed(self) -> list[str]:
        """The checks that it failed."""
        return [check for check, state in self.found["checks"].items() if state == Quality.FAILED]


def judged_readings(connection: Connection, query: Select) -> list[JudgedReading]:
    """The readings that a query on the table `predictions` selects, in its order."""
    names = ("id", "station_id", "timestamp", "is_anomaly", "score", "anomaly", "model_version", "source", "stored_at")
    return [
        JudgedReading(
            id=row.id,
            station_id=row.station_id,
            timestamp=row.timestamp,
            is_anomaly=row.is_anomaly,
            score=row.score,
            found=row.anomaly,
            model_version=row.model_version,
            source=row.source and Origin(row.source),
            stored_at=row.stored_at,
        )
        for row in connection.execute(query.with_only_columns(*(table.c[name] for name in names)))
    ]


def flagged(
    connection: Connection,
    limit: int,
    after: int | None = None,
    since: datetime | None = None,
    station_id: str | None = None,
    check: str | None = None,
    least_score: float | None = None,
    judged: Judgement | bool | None = None,
    until: datetime | None = None,
) -> list[JudgedReading]:
    """Flagged readings, the newest first by their own time, whenever they came; those of one time by their number.

    Args:
        limit: at most so many.
        after: only those that follow the one of this number: the last of a page asks for the next one.
        since: only readings at or after this time (the reading's own).
        check: only those that failed this check, named as in the record (`range`, `step`, ...).
        least_score: only those with at least this score.
        judged: only those of which a person said this; False: of which nobody has said anything, True: anything.
        until: only readings before this time.
    """
    query = select(table).where(table.c.is_anomaly == true())
    query = query.order_by(table.c.timestamp.desc(), table.c.id.desc()).limit(limit)
    if after is not None:
        last = table.alias("last")
        time = select(last.c.timestamp).where(last.c.id == after).scalar_subquery()
        query = query.where(tuple_(table.c.timestamp, table.c.id) < tuple_(time, literal(after, table.c.id.type)))
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
    return judged_readings(connection, query)


def numbered(connection: Connection, number: int) -> JudgedReading | None:
    """The flagged reading of this number; None if there is none."""
    query = select(table).where(table.c.id == number, table.c.is_anomaly == true())
    return next(iter(judged_readings(connection, query)), None)
