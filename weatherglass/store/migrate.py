"""Migrate the tables of the store to the current version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from weatherglass.files import exclusive_lock
from weatherglass.store.engine import open_store, sqlite_file

MIGRATIONS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x77656174686572  # "weather" in ASCII; any number that no other program uses


def migrate(url: str) -> None:
    """Run all pending migrations. Safe to call at every start, also from several processes at once."""
    engine = open_store(url)
    try:
        with _file_lock(url), engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
                connection.commit()
            # The session holds the lock until its engine is disposed of.
            command.upgrade(alembic_config(connection), "head")
            connection.commit()
    finally:
        engine.dispose()


def alembic_config(connection: Connection) -> Config:
    """Alembic configuration for an open connection; there is no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _file_lock(url: str) -> Iterator[None]:
    """Hold a lock file next to a SQLite file, so that one process migrates while the others wait."""
    file = sqlite_file(url)
    if file is None:
        yield
        return
    with exclusive_lock(file.with_name(file.name + ".migrate.lock")):
        yield
