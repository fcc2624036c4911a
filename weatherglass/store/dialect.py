"""Statements that differ between SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, func, or_, type_coerce
from sqlalchemy.dialects import postgresql, sqlite

from weatherglass.store.schema import UtcTime

METADATA_COLUMNS = ("id", "stored_at")
"""Columns that are not content: a row that differs only in these is unchanged."""


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    identity: Sequence[str],
    newest_by: str | None = None,
) -> None:
    """Insert rows, or replace rows of the same identity whose content differs; later rows replace earlier ones.

    Args:
        identity: columns of a unique key.
        newest_by: a time column; a row whose value is older than the stored one is ignored.
    """
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    new = statement.excluded
    replaced = [column.name for column in table.c if column.name not in (*identity, "id")]
    condition: ColumnElement[bool] = or_(
        *(table.c[name].is_distinct_from(new[name]) for name in replaced if name not in METADATA_COLUMNS)
    )
    if newest_by:
        condition = and_(condition, new[newest_by] >= table.c[newest_by])
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(identity), set_={name: new[name] for name in replaced}, where=condition
        ),
        list(rows),
    )


def hour_start(connection: Connection, time: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """The start of the UTC hour that contains a time."""
    if connection.dialect.name == "postgresql":
        return func.date_trunc("hour", time, "UTC", type_=UtcTime)
    # SQLite stores times as text of fixed width, so text in the same format compares like time.
    return type_coerce(func.substr(time, 1, 13).concat(":00:00.000000"), UtcTime)
