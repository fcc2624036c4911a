"""The newest published observation of each station, so that a poll publishes only new and revised observations."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from weatherglass.records import Observation
from weatherglass.store.dialect import upsert
from weatherglass.store.schema import published


def last_published(connection: Connection) -> dict[str, Observation]:
    """The newest published observation of each station, by station id."""
    rows = connection.execute(select(published)).mappings()
    return {row["station_id"]: Observation.model_validate(dict(row)) for row in rows}


def save_last_published(connection: Connection, observations: Sequence[Observation]) -> None:
    """Keep the newest observation of each station; a revision of the same time replaces it.

    Call it after the broker has acknowledged the observations. The caller commits.
    """
    upsert(connection, published, [o.model_dump() for o in observations], ["station_id"], newest_by="timestamp")
