"""Read the inputs of the daily station report, and store its result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, select

from weatherglass.qc.station_status import ReceivedReading, StationDay, Status, StatusPeriod
from weatherglass.records import Quality, iso
from weatherglass.store.dialect import upsert
from weatherglass.store.readable import stored_origin
from weatherglass.store.schema import observations, predictions
from weatherglass.store.schema import station_days as table

REPORTED_FOR = timedelta(days=30)
"""A station that has been silent for longer than this is no longer reported."""


def readings(connection: Connection, day: date) -> dict[str, list[ReceivedReading]]:
    """Readings of a UTC day and the day before, oldest first, by station.

    Contains every station with an observation in the last `REPORTED_FOR`; the list of a silent station is empty.
    """
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    known = select(observations.c.station_id).where(
        observations.c.timestamp >= start - REPORTED_FOR, observations.c.timestamp < start + timedelta(days=1)
    )
    result: defaultdict[str, list[ReceivedReading]] = defaultdict(list)
    for (station_id,) in connection.execute(known.distinct()):
        result[station_id] = []
    query = (
        select(
            observations.c.station_id,
            observations.c.timestamp,
            observations.c.stored_at,
            observations.c.source,
            predictions.c.anomaly,
        )
        .join_from(
            observations,
            predictions,
            and_(
                predictions.c.station_id == observations.c.station_id,
                predictions.c.timestamp == observations.c.timestamp,
            ),
            isouter=True,
        )
        .where(
            observations.c.timestamp >= start - timedelta(days=1), observations.c.timestamp < start + timedelta(days=1)
        )
        .order_by(observations.c.station_id, observations.c.timestamp)
    )
    for row in connection.execute(query):
        reading = ReceivedReading(row.timestamp, row.stored_at, _passed(row.anomaly), stored_origin(row.source))
        result[row.station_id].append(reading)
    return dict(result)


def first_stored_at(connection: Connection) -> datetime | None:
    """Arrival time of the first stored observation, or None."""
    return connection.execute(select(func.min(observations.c.stored_at))).scalar()


def save(connection: Connection, days: Sequence[StationDay]) -> None:
    """Upsert station days on (station_id, day). The caller commits."""
    rows = [
        {
            **{name: getattr(day, name) for name in table.c.keys() if name != "log"},  # noqa: SIM118
            "log": [[period.status.value, iso(period.start), iso(period.end)] for period in day.log],
        }
        for day in days
    ]
    upsert(connection, table, rows, ["station_id", "day"])


def load(connection: Connection, start: date, end: date) -> list[StationDay]:
    """Station days in [start, end), ordered by day and station."""
    query = select(table).where(table.c.day >= start, table.c.day < end).order_by(table.c.day, table.c.station_id)
    return [_day(row._asdict()) for row in connection.execute(query)]


def _day(columns: dict[str, Any]) -> StationDay:
    log = [
        StatusPeriod(Status(status), datetime.fromisoformat(start), datetime.fromisoformat(end))
        for status, start, end in columns.pop("log")
    ]
    return StationDay(log=log, **columns)


def _passed(anomaly: dict[str, Any] | None) -> dict[str, bool]:
    """Whether each check passed; checks that were not made are left out."""
    checks = (anomaly or {}).get("checks", {})
    return {name: state == Quality.OK for name, state in checks.items() if state != Quality.NOT_CHECKED}
