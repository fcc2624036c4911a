"""Stored observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.store.dialect import upsert
from weatherglass.store.latest_per_station import latest_per_station
from weatherglass.store.readable import read_row, read_rows, stored_origin
from weatherglass.store.schema import observations as table


@dataclass(frozen=True)
class StoredObservation:
    """An observation with the time at which it was stored (UTC) and its source, if known."""

    observation: Observation
    stored_at: datetime
    source: Origin | None


def save(
    connection: Connection, observations: Sequence[Observation], stored_at: datetime, source: Origin | None = None
) -> None:
    """Upsert on (station_id, timestamp); a revision replaces the earlier observation. The caller commits."""
    rows = [{**o.model_dump(), "source": source and source.value, "stored_at": stored_at} for o in observations]
    upsert(connection, table, rows, ["station_id", "timestamp"])


def history(connection: Connection, station_id: str, start: datetime, end: datetime) -> list[StoredObservation]:
    """Observations of a station in [start, end), oldest first."""
    query = (
        select(table)
        .where(table.c.station_id == station_id, table.c.timestamp >= start, table.c.timestamp < end)
        .order_by(table.c.timestamp)
    )
    return read_rows(connection.execute(query), _from_row)


def latest(connection: Connection, station_id: str) -> StoredObservation | None:
    """The newest observation of a station by its own time, or None."""
    query = select(table).where(table.c.station_id == station_id).order_by(table.c.timestamp.desc()).limit(1)
    row = connection.execute(query).first()
    return read_row(row, _from_row) if row else None


def latest_all(connection: Connection) -> dict[str, StoredObservation]:
    """The newest observation of each station by its own time, by station id."""
    stored = read_rows(connection.execute(latest_per_station(table)), _from_row)
    return {one.observation.station_id: one for one in stored}


def _from_row(row: Row[Any]) -> StoredObservation:
    columns = row._asdict()
    source, stored_at = columns.pop("source"), columns.pop("stored_at")
    return StoredObservation(Observation(**columns), stored_at, stored_origin(source))
