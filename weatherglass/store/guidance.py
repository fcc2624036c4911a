"""Stored guidance: one row per run of a weather model and station."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, select, tuple_

from weatherglass.guidance_record import Guidance, GuidanceValues
from weatherglass.record_headers import Origin
from weatherglass.store.dialect import upsert
from weatherglass.store.readable import read_rows, stored_origin
from weatherglass.store.schema import guidance as table
from weatherglass.store.schema import guidance_fetches as fetches

RETENTION = timedelta(days=100)
"""How long runs are kept."""
READ_BATCH = 500
"""Runs read at once; a document takes about 15 kB."""
IDENTITY = ("station_id", "model", "run")
Key = tuple[str, str]
"""Station id and model."""
Identity = tuple[str, str, datetime]
"""Station id, model and run, UTC."""


@dataclass(frozen=True)
class StoredGuidance:
    """A run with the time at which it was stored, UTC, and its source."""

    guidance: Guidance
    stored_at: datetime
    source: Origin | None


@dataclass(frozen=True)
class Fetch:
    """When a model was last requested for a station, UTC, and its last published run; None before the first one."""

    checked_at: datetime
    values: GuidanceValues | None


def save(
    connection: Connection, records: Sequence[Guidance], stored_at: datetime, source: Origin | None = None
) -> None:
    """Upsert on (station_id, model, run). The caller commits."""
    rows = [
        {
            **{name: getattr(record, name) for name in Guidance.model_fields},
            "run_time": record.run_time.value,
            "values": record.values.model_dump(mode="json"),
            "source": source and source.value,
            "stored_at": stored_at,
        }
        for record in records
    ]
    upsert(connection, table, rows, IDENTITY)


def latest(connection: Connection, station_id: str, known_at: datetime | None = None) -> list[StoredGuidance]:
    """The newest run of each model for a station, ordered by model.

    Args:
        known_at: leave out runs that were received later, UTC; a forecast issued at this time did not know them.
    """
    known = table.c.station_id == station_id
    if known_at is not None:
        known = and_(known, table.c.fetched_at <= known_at)
    newest = select(table.c.model, func.max(table.c.run).label("run")).where(known).group_by(table.c.model).subquery()
    query = select(table).join(newest, and_(newest.c.model == table.c.model, newest.c.run == table.c.run))
    return _read(connection, query.where(table.c.station_id == station_id).order_by(table.c.model))


def stored_since(connection: Connection, stored_at: datetime) -> list[StoredGuidance]:
    """All runs stored at or after a time, UTC, ordered by the time of storage."""
    return _read(connection, select(table).where(table.c.stored_at >= stored_at).order_by(table.c.stored_at))


def identities_since(connection: Connection, stored_at: datetime) -> dict[Identity, datetime]:
    """The runs stored at or after a time, UTC, and when each was stored."""
    query = select(*(table.c[name] for name in IDENTITY), table.c.stored_at).where(table.c.stored_at >= stored_at)
    return {(row.station_id, row.model, row.run): row.stored_at for row in connection.execute(query)}


def received_between(connection: Connection, start: datetime, end: datetime, simulated: bool) -> Iterator[Guidance]:
    """The runs received in [start, end), UTC, of real or of simulated guidance, without those that cannot be read.

    They are read in batches, which limits the memory.
    """
    query = select(table).where(table.c.fetched_at >= start, table.c.fetched_at < end, table.c.simulated == simulated)
    for rows in connection.execute(query.execution_options(yield_per=READ_BATCH)).partitions():
        yield from (stored.guidance for stored in read_rows(rows, _from_row))


def received_times(connection: Connection, stored_since: datetime | None) -> list[datetime]:
    """When the runs stored after a time, or all, were received, UTC; each time once."""
    query = select(table.c.fetched_at).distinct()
    if stored_since is not None:
        query = query.where(table.c.stored_at > stored_since)
    return list(connection.execute(query).scalars())


def load(connection: Connection, identities: Sequence[Identity]) -> list[Guidance]:
    """Runs in any order, without those that are not stored or cannot be read; at most 1,000."""
    chosen = tuple_(*(table.c[name] for name in IDENTITY)).in_(identities)
    return [stored.guidance for stored in _read(connection, select(table).where(chosen))]


def thin(connection: Connection, now: datetime) -> int:
    """Delete runs received more than `RETENTION` ago; returns their number. The caller commits."""
    return connection.execute(delete(table).where(table.c.fetched_at < now - RETENTION)).rowcount


def last_fetches(connection: Connection) -> dict[Key, Fetch]:
    """What was last requested and published of each station and model."""
    rows = read_rows(connection.execute(select(fetches)), _fetch)
    return dict(rows)


def save_fetches(connection: Connection, published: Mapping[Key, GuidanceValues | None], checked_at: datetime) -> None:
    """Save that these were requested, with the last published run of each. The caller commits.

    Call it for new runs after the broker has acknowledged them.
    """
    rows = [
        {"station_id": station, "model": model, "checked_at": checked_at, "values": run and run.model_dump(mode="json")}
        for (station, model), run in published.items()
    ]
    upsert(connection, fetches, rows, ("station_id", "model"))


def _fetch(row: Row[Any]) -> tuple[Key, Fetch]:
    columns = row._mapping
    values = None if columns["values"] is None else GuidanceValues.model_validate(columns["values"])
    return (columns["station_id"], columns["model"]), Fetch(columns["checked_at"], values)


def _read(connection: Connection, query: Select[Any]) -> list[StoredGuidance]:
    return read_rows(connection.execute(query), _from_row)


def _from_row(row: Row[Any]) -> StoredGuidance:
    columns = row._mapping
    record = Guidance.model_validate({name: columns[name] for name in Guidance.model_fields})
    return StoredGuidance(record, columns["stored_at"], stored_origin(columns["source"]))
