"""Verdicts of users on flagged readings: confirmed, or false alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection, select

from weatherglass.store.dialect import upsert
from weatherglass.store.schema import verdicts as table


class Judgement(StrEnum):
    CONFIRMED = "confirmed"
    FALSE_ALARM = "false_alarm"


@dataclass(frozen=True)
class Verdict:
    """A verdict given by the user `by` at the time `at` (UTC); the note may be empty."""

    verdict: Judgement
    by: str
    at: datetime
    note: str


def save(connection: Connection, station_id: str, timestamp: datetime, verdict: Verdict) -> None:
    """Save the verdict on a reading; it replaces an earlier one. The caller commits."""
    row = {
        "station_id": station_id,
        "timestamp": timestamp,
        "verdict": verdict.verdict.value,
        "by": verdict.by,
        "at": verdict.at,
        "note": verdict.note,
    }
    upsert(connection, table, [row], ["station_id", "timestamp"])


def load(connection: Connection, stations: Sequence[str], start: datetime) -> dict[tuple[str, datetime], Verdict]:
    """Verdicts on readings of some stations from `start` on, by station and time."""
    query = select(table).where(table.c.station_id.in_(stations), table.c.timestamp >= start)
    return {
        (row.station_id, row.timestamp): Verdict(Judgement(row.verdict), row.by, row.at, row.note)
        for row in connection.execute(query)
    }
