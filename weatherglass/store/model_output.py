"""Values of a weather model at stations that an airport observes, to compare the two; they are not observations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.store.dialect import upsert
from weatherglass.store.latest_per_station import latest_per_station
from weatherglass.store.schema import model_output as table


def save(connection: Connection, values: Sequence[Observation], stored_at: datetime, source: Origin) -> None:
    """Upsert on (station_id, timestamp). The caller commits."""
    names = [name for name in table.c.keys() if name not in ("source", "stored_at")]  # noqa: SIM118
    rows = [
        {**{name: getattr(value, name) for name in names}, "source": source.value, "stored_at": stored_at}
        for value in values
    ]
    upsert(connection, table, rows, ["station_id", "timestamp"])


def latest_all(connection: Connection) -> dict[str, Observation]:
    """The newest values of each station, by station id."""
    rows = connection.execute(latest_per_station(table))
    return {row.station_id: Observation.model_validate(row._asdict()) for row in rows}


def between(connection: Connection, station_id: str, start: datetime, end: datetime) -> list[Observation]:
    """The values of a station in [start, end), oldest first."""
    query = (
        select(table)
        .where(table.c.station_id == station_id, table.c.timestamp >= start, table.c.timestamp < end)
        .order_by(table.c.timestamp)
    )
    return [Observation.model_validate(row._asdict()) for row in connection.execute(query)]
