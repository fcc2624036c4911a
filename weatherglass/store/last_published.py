"""What the producer has last published, so that a poll publishes only what is new or revised."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from weatherglass.records import Observation
from weatherglass.store.dialect import upsert
from weatherglass.store.schema import published


def last_published(connection: Connection) -> dict[str, Observation]:
    """The newest published observation of each station, by its id."""
    rows = connection.execute(select(published)).mappings()
    return {row["station_id"]: Observation.model_validate(dict(row)) for row in rows}


def remember(connection: Connection, observations: Sequence[Observation]) -> None:
    """Keep the newest observation of each station; one of the same time with other values replaces the old.

    Call it after the broker has acknowledged them; the caller commits.
    """
    upsert(connection, published, [o.model_dump() for o in observations], ["station_id"], newest_by="timestamp")
