"""The cluster's databases on its PostgreSQL server."""

from __future__ import annotations

import logging

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

log = logging.getLogger(__name__)

MAINTENANCE = "postgres"
"""The database that every server has, used to create others."""


def create_database(url: str) -> None:
    """Create the database of a SQLAlchemy URL if the server does not have it.

    Raises:
        sqlalchemy.exc.OperationalError: the server does not respond, or refuses the user or the password.
    """
    target = make_url(url)
    assert target.database
    engine = create_engine(target.set(database=MAINTENANCE), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            existing = connection.execute(
                text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": target.database}
            )
            if existing.first() is None:
                name = engine.dialect.identifier_preparer.quote(target.database)
                connection.execute(text(f"CREATE DATABASE {name}"))
                log.info("created database %s", target.database)
    except ProgrammingError as error:
        # 42P04: another process has just created it.
        if getattr(error.orig, "sqlstate", None) != "42P04":
            raise
    finally:
        engine.dispose()
