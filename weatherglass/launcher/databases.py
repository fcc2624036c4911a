"""The cluster's databases on its PostgreSQL server."""

from __future__ import annotations

import logging

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

log = logging.getLogger(__name__)

MAINTENANCE = "postgres"
"""The database that every server has; a new one is made from there."""


def make_database(url: str) -> None:
    """Make the database that a SQLAlchemy URL names, where the server does not have it yet.

    Raises:
        sqlalchemy.exc.OperationalError: the server does not answer, or refuses the user or the password.
    """
    wanted = make_url(url)
    assert wanted.database
    engine = create_engine(wanted.set(database=MAINTENANCE), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            known = connection.execute(
                text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": wanted.database}
            )
            if known.first() is None:
                name = engine.dialect.identifier_preparer.quote(wanted.database)
                connection.execute(text(f"CREATE DATABASE {name}"))
                log.info("database %s is made", wanted.database)
    except ProgrammingError as error:
        # Somebody else was quicker.
        if getattr(error.orig, "sqlstate", None) != "42P04":
            raise
    finally:
        engine.dispose()
