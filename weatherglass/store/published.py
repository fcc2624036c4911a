"""The last published observations of each station, so that a poll publishes only new and revised observations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.store.dialect import upsert
from weatherglass.store.readable import stored_origin
from weatherglass.store.schema import published as table

KEPT = timedelta(hours=4)
"""How far before its newest observation those of a station are kept: longer than polls of airports look back."""


@dataclass(frozen=True)
class Published:
    """The last published observations of a station.

    Attributes:
        newest: the newest one.
        source: its source; None if it is unknown.
        recent: those of the same source by time, UTC, with the newest one.
    """

    newest: Observation
    source: Origin | None
    recent: dict[datetime, Observation]


def last_published(connection: Connection) -> dict[str, Published]:
    """The last published observations of each station, by station id."""
    rows: defaultdict[str, list] = defaultdict(list)
    for row in connection.execute(select(table).order_by(table.c.timestamp)):
        rows[row.station_id].append(row)
    result = {}
    for station_id, own in rows.items():
        same = [Observation.model_validate(row._asdict()) for row in own if row.source == own[-1].source]
        recent = {observation.timestamp: observation for observation in same}
        result[station_id] = Published(same[-1], stored_origin(own[-1].source), recent)
    return result


def save_published(connection: Connection, observations: Sequence[Observation], source: Origin) -> None:
    """Save observations of one source and delete those that are more than `KEPT` older than the newest of a station.

    Call it after the broker has acknowledged the observations. The caller commits.
    """
    upsert(
        connection,
        table,
        [{**o.model_dump(), "source": source.value} for o in observations],
        ["station_id", "timestamp"],
    )
    newest: dict[str, datetime] = {}
    stations = {observation.station_id for observation in observations}
    for row in connection.execute(
        select(table.c.station_id, table.c.timestamp).where(table.c.station_id.in_(stations))
    ):
        newest[row.station_id] = max(row.timestamp, newest.get(row.station_id, row.timestamp))
    for station_id, time in newest.items():
        connection.execute(delete(table).where(table.c.station_id == station_id, table.c.timestamp < time - KEPT))
