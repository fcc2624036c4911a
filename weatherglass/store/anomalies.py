"""Flagged readings: observations that the anomaly detector marks as not trustworthy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Select, and_, literal, select, true, tuple_

from weatherglass.record_headers import Origin
from weatherglass.records import Quality
from weatherglass.store.readable import read_row, stored_origin
from weatherglass.store.schema import predictions as table
from weatherglass.store.schema import verdicts
from weatherglass.store.verdicts import Judgement


@dataclass(frozen=True)
class ScoredReading:
    """A reading, flagged or not, with the detector's result; without the forecast stored in the same row.

    Attributes:
        id: row id of the prediction.
        timestamp: of the reading, UTC.
        anomaly: the stored document of `records.Anomaly`; one without checks and reasons if it cannot be read.
    """

    id: int
    station_id: str
    timestamp: datetime
    is_anomaly: bool
    score: float
    anomaly: dict[str, Any]
    model_version: str
    source: Origin | None
    stored_at: datetime

    @property
    def failed(self) -> list[str]:
        """Names of the failed checks."""
        return [check for check, state in self.anomaly["checks"].items() if state == Quality.FAILED]


def scored_readings(connection: Connection, query: Select) -> list[ScoredReading]:
    """The readings selected by a query on the table `predictions`, in the order of the query."""
    columns = [table.c[name] for name in ScoredReading.__dataclass_fields__]
    rows = connection.execute(query.with_only_columns(*columns)).mappings()
    return [
        ScoredReading(**{**row, "source": stored_origin(row["source"]), "anomaly": _document(row["anomaly"])})
        for row in rows
    ]


class _AnomalyDocument(BaseModel):
    """What is read of a stored document."""

    checks: dict[str, str]
    reasons: list[str]
    model_version: str | None


def _document(stored: Any) -> dict[str, Any]:
    if read_row(stored, _AnomalyDocument.model_validate) is None:
        return {"checks": {}, "reasons": [], "model_version": None}
    document: dict[str, Any] = stored
    return document


def flagged_readings(
    connection: Connection,
    limit: int,
    after_id: int | None = None,
    since: datetime | None = None,
    station_id: str | None = None,
    check: str | None = None,
    min_score: float | None = None,
    verdict: Judgement | bool | None = None,
    until: datetime | None = None,
) -> list[ScoredReading]:
    """Flagged readings, newest first by their own time, regardless of arrival; ties are ordered by id.

    Args:
        limit: maximum number of readings.
        after_id: return only readings that follow the one with this id; pass the last id of a page to get the next.
        since: return only readings at or after this time (the reading's own).
        check: return only readings that failed this check, named as in the record (`range`, `step`, ...).
        min_score: return only readings with at least this score.
        verdict: return only readings with this verdict, with any verdict (True) or without one (False).
        until: return only readings before this time.
    """
    query = select(table).where(table.c.is_anomaly == true())
    query = query.order_by(table.c.timestamp.desc(), table.c.id.desc()).limit(limit)
    if after_id is not None:
        last = table.alias("last")
        time = select(last.c.timestamp).where(last.c.id == after_id).scalar_subquery()
        query = query.where(tuple_(table.c.timestamp, table.c.id) < tuple_(time, literal(after_id)))
    if since is not None:
        query = query.where(table.c.timestamp >= since)
    if until is not None:
        query = query.where(table.c.timestamp < until)
    if station_id is not None:
        query = query.where(table.c.station_id == station_id)
    if check is not None:
        query = query.where(table.c.anomaly["checks"][check].as_string() == Quality.FAILED.value)
    if min_score is not None:
        query = query.where(table.c.score >= min_score)
    if verdict is not None:
        same = and_(verdicts.c.station_id == table.c.station_id, verdicts.c.timestamp == table.c.timestamp)
        query = query.outerjoin(verdicts, same)
        if isinstance(verdict, Judgement):
            query = query.where(verdicts.c.verdict == verdict.value)
        else:
            query = query.where(verdicts.c.verdict.is_not(None) if verdict else verdicts.c.verdict.is_(None))
    return scored_readings(connection, query)


def get_flagged_reading(connection: Connection, reading_id: int) -> ScoredReading | None:
    """The flagged reading with this id, or None."""
    query = select(table).where(table.c.id == reading_id, table.c.is_anomaly == true())
    return next(iter(scored_readings(connection, query)), None)
