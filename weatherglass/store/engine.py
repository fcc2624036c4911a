"""Open the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Engine, create_engine, event, make_url

BUSY_TIMEOUT = 15.0
"""Seconds for which a SQLite connection waits for another writer."""


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for another database or an in-memory one."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def open_store(url: str) -> Engine:
    """Create an engine for a SQLAlchemy URL, and the folder of a SQLite file. Does not migrate.

    JSON columns are decoded by pydantic-core, which is several times faster than the standard library. Engines do not
    survive a fork: each process must open its own.
    """
    file = sqlite_file(url)
    if file is None:
        return create_engine(url, pool_pre_ping=True, json_deserializer=from_json)
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT}, json_deserializer=from_json)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
