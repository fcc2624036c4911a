"""Observations in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from weatherglass.records import Observation, Origin
from weatherglass.store.dialect import upsert
from weatherglass.store.latest_per_station import newest_per_station
from weatherglass.store.schema import observations as table


@dataclass(frozen=True)
class StoredObservation:
    """An observation, when it came into the store (UTC) and where from, if that is known."""

    observation: Observation
    stored_at: datetime
    source: Origin | None


def save(
    connection: Connection, observations: Sequence[Observation], stored_at: datetime, source: Origin | None = None
) -> None:
    """Upsert on (station_id, timestamp); a revised observation replaces the old. The caller commits."""
    rows = [{**o.model_dump(), "source": source and source.value, "stored_at": stored_at} for o in observations]
    upsert(connection, table, rows, ["station_id", "timestamp"])


def history(connection: Connection, station_id: str, start: datetime, end: datetime) -> list[StoredObservation]:
    """A station's observations in [start, end), oldest first."""
    query = (
        select(table)
        .where(table.c.station_id == station_id, table.c.timestamp >= start, table.c.timestamp < end)
        .order_by(table.c.timestamp)
    )
    return [_stored(row) for row in connection.execute(query)]


def latest(connection: Connection, station_id: str) -> StoredObservation | None:
    """A station's newest observation by its own time; None before the first."""
    query = select(table).where(table.c.station_id == station_id).order_by(table.c.timestamp.desc()).limit(1)
    row = connection.execute(query).first()
    return _stored(row) if row else None


def latest_all(connection: Connection) -> dict[str, StoredObservation]:
    """The newest observation (by its own time) of each station, by station id."""
    rows = connection.execute(newest_per_station(table))
    return {row.station_id: _stored(row) for row in rows}


def _stored(row: Row[Any]) -> StoredObservation:
    columns = row._asdict()
    source, stored_at = columns.pop("source"), columns.pop("stored_at")
    return StoredObservation(Observation(**columns), stored_at, source and Origin(source))
