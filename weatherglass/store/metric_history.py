"""A week of metric values in intervals of five minutes, written by the monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from weatherglass.store.dialect import upsert
from weatherglass.store.schema import metric_history as table

INTERVAL = timedelta(minutes=5)
RETENTION = timedelta(days=7)


def save(connection: Connection, at: datetime, values: Mapping[tuple[str, tuple[str, ...]], float]) -> None:
    """Save the values of the interval that ends at `at`, by metric and labels; delete rows older than `RETENTION`."""
    rows = [
        {"name": name, "labels": join_labels(labels), "at": at, "value": value}
        for (name, labels), value in values.items()
    ]
    upsert(connection, table, rows, ["name", "labels", "at"])
    connection.execute(delete(table).where(table.c.at < at - RETENTION))


def series(
    connection: Connection, names: Sequence[str], start: datetime, end: datetime
) -> dict[str, dict[str, list[tuple[datetime, float]]]]:
    """Times and values in [start, end), oldest first, by metric and by label values (joined with commas)."""
    result: dict[str, dict[str, list[tuple[datetime, float]]]] = {}
    query = (
        select(table)
        .where(table.c.name.in_(names), table.c.at >= start, table.c.at < end)
        .order_by(table.c.name, table.c.labels, table.c.at)
    )
    for row in connection.execute(query):
        result.setdefault(row.name, {}).setdefault(row.labels, []).append((row.at, row.value))
    return result


def join_labels(labels: tuple[str, ...]) -> str:
    return ",".join(labels)[:200]
