"""What a person says of a flagged reading: that it is wrong indeed, or a false alarm."""

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
    """`by` is the user, `at` (UTC) when it was given; the note may be empty."""

    verdict: Judgement
    by: str
    at: datetime
    note: str


def give(connection: Connection, station_id: str, timestamp: datetime, verdict: Verdict) -> None:
    """Keep the verdict on a station's reading; the last word counts. The caller commits."""
    row = {
        "station_id": station_id,
        "timestamp": timestamp,
        "verdict": verdict.verdict.value,
        "by": verdict.by,
        "at": verdict.at,
        "note": verdict.note,
    }
    upsert(connection, table, [row], ["station_id", "timestamp"])


def on(connection: Connection, stations: Sequence[str], start: datetime) -> dict[tuple[str, datetime], Verdict]:
    """The verdicts on these stations' readings of `start` and later, by station and time."""
    query = select(table).where(table.c.station_id.in_(stations), table.c.timestamp >= start)
    return {
        (row.station_id, row.timestamp): Verdict(Judgement(row.verdict), row.by, row.at, row.note)
        for row in connection.execute(query)
    }
