"""A week of what the watcher measures, in stretches of five minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from weatherglass.store.dialect import upsert
from weatherglass.store.schema import metric_history as table

STRETCH = timedelta(minutes=5)
KEPT = timedelta(days=7)


def save(connection: Connection, at: datetime, values: Mapping[tuple[str, tuple[str, ...]], float]) -> None:
    """Keep the values of the stretch that ends `at`, by metric and labels; forget what is a week old."""
    rows = [
        {"name": name, "labels": joined(labels), "at": at, "value": value} for (name, labels), value in values.items()
    ]
    upsert(connection, table, rows, ["name", "labels", "at"])
    connection.execute(delete(table).where(table.c.at < at - KEPT))


def series(
    connection: Connection, names: Sequence[str], start: datetime, end: datetime
) -> dict[str, dict[str, list[tuple[datetime, float]]]]:
    """Times and values in [start, end), oldest first, by metric and by labels (their values, joined by commas)."""
    found: dict[str, dict[str, list[tuple[datetime, float]]]] = {}
    query = (
        select(table)
        .where(table.c.name.in_(names), table.c.at >= start, table.c.at < end)
        .order_by(table.c.name, table.c.labels, table.c.at)
    )
    for row in connection.execute(query):
        found.setdefault(row.name, {}).setdefault(row.labels, []).append((row.at, row.value))
    return found


def joined(labels: tuple[str, ...]) -> str:
    return ",".join(labels)[:200]
