"""The newest leading feature window of each station."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from weatherglass.record_headers import Origin
from weatherglass.records import WindowFeatures
from weatherglass.store.dialect import upsert
from weatherglass.store.readable import read_row
from weatherglass.store.schema import features as table

LEADING_WITHIN = timedelta(minutes=1)
"""A leading window ends at most this long after its last observation."""


@dataclass(frozen=True)
class StoredWindow:
    """A window and the time at which it was stored (UTC)."""

    window: WindowFeatures
    stored_at: datetime


def save(
    connection: Connection,
    windows: Sequence[WindowFeatures],
    stored_at: datetime,
    source: Origin | None = None,  # noqa: ARG001 (the sink calls all save functions alike)
) -> None:
    """Keep the newest leading window of each station; ignore other windows. The caller commits.

    A leading window ends within a minute after its last observation. Of all windows that contain this observation it
    reaches back furthest, so the forecast is made from it.
    """
    latest: dict[str, WindowFeatures] = {}
    for window in windows:
        kept = latest.get(window.station_id)
        if _is_leading(window) and (kept is None or window.window_end >= kept.window_end):
            latest[window.station_id] = window
    rows = [
        {
            "station_id": window.station_id,
            "window_start": window.window_start,
            "window_end": window.window_end,
            "aggregated_features": window.aggregated_features.model_dump(mode="json"),
            "stored_at": stored_at,
        }
        for window in latest.values()
    ]
    upsert(connection, table, rows, ["station_id"], newest_by="window_end")


def latest(connection: Connection, station_id: str) -> StoredWindow | None:
    """The newest window of a station, or None."""
    row = connection.execute(select(table).where(table.c.station_id == station_id)).first()
    return read_row(row, _from_row) if row else None


def _from_row(row: Row[Any]) -> StoredWindow:
    columns = row._asdict()
    stored_at = columns.pop("stored_at")
    return StoredWindow(WindowFeatures.model_validate(columns), stored_at)


def _is_leading(window: WindowFeatures) -> bool:
    return window.window_end - window.aggregated_features.last_observation <= LEADING_WITHIN
