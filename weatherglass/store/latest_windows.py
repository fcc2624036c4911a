"""The newest window of each station in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from weatherglass.records import Origin, WindowFeatures
from weatherglass.store.dialect import upsert
from weatherglass.store.schema import features as table

LEADING = timedelta(minutes=1)


@dataclass(frozen=True)
class StoredWindow:
    """A window, and when it came into the store (UTC)."""

    window: WindowFeatures
    stored_at: datetime


def save(
    connection: Connection,
    windows: Sequence[WindowFeatures],
    stored_at: datetime,
    source: Origin | None = None,  # noqa: ARG001 (the sink saves everything in the same way)
) -> None:
    """Keep each station's newest leading window; others are passed over. The caller commits.

    A leading window ends within a minute after its last observation: of the windows that hold this observation it has
    the most past in it, and so it is the one that is forecast from.
    """
    newest: dict[str, WindowFeatures] = {}
    for window in windows:
        kept = newest.get(window.station_id)
        if _leads(window) and (kept is None or window.window_end >= kept.window_end):
            newest[window.station_id] = window
    rows = [
        {
            "station_id": window.station_id,
            "window_start": window.window_start,
            "window_end": window.window_end,
            "aggregated_features": window.aggregated_features.model_dump(mode="json"),
            "stored_at": stored_at,
        }
        for window in newest.values()
    ]
    upsert(connection, table, rows, ["station_id"], newest_by="window_end")


def newest(connection: Connection, station_id: str) -> StoredWindow | None:
    """A station's newest window; None before the first."""
    row = connection.execute(select(table).where(table.c.station_id == station_id)).first()
    if row is None:
        return None
    columns = row._asdict()
    stored_at = columns.pop("stored_at")
    return StoredWindow(WindowFeatures.model_validate(columns), stored_at)


def _leads(window: WindowFeatures) -> bool:
    return timedelta() < window.window_end - window.aggregated_features.last_observation <= LEADING
