"""Reads the rows of the store with plain SQL."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

TABLES = ("observations", "features", "predictions", "shadow_predictions")
TIMES = ("timestamp", "window_start", "window_end")
DOCUMENTS = ("aggregated_features", "predictions", "anomaly", "confidence")
SQLITE = "sqlite:///"

Rows = dict[str, list[dict[str, Any]]]
"""Table -> rows by column; times in UTC, documents as parsed JSON."""


def read_store(url: str) -> Rows:
    """The rows of the tables that the sink writes.

    Args:
        url: `sqlite:///<path>` or `postgresql://…`.
    """
    if url.startswith(SQLITE):
        connection = sqlite3.connect(f"file:{url.removeprefix(SQLITE)}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return {t: [_row(dict(row)) for row in connection.execute(f"select * from {t}")] for t in TABLES}
        finally:
            connection.close()
    with psycopg.connect(url.replace("postgresql+psycopg:", "postgresql:"), row_factory=dict_row) as postgres:
        return {t: [_row(row) for row in postgres.execute(f"select * from {t}")] for t in TABLES}


def _row(row: dict[str, Any]) -> dict[str, Any]:
    for name in TIMES:
        if name in row:
            time = row[name] if isinstance(row[name], datetime) else datetime.fromisoformat(row[name])
            row[name] = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    for name in DOCUMENTS:
        if isinstance(row.get(name), str):
            row[name] = json.loads(row[name])
    return row
