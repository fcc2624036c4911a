"""Stored predictions: one row per prediction, with all leads in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, not_, select

from weatherglass.record_headers import Origin
from weatherglass.records import Prediction
from weatherglass.store.dialect import hour_start, upsert
from weatherglass.store.latest_per_station import latest_per_station
from weatherglass.store.readable import read_row, read_rows, stored_origin
from weatherglass.store.schema import predictions as table

FULL_RETENTION = timedelta(days=35)
"""Predictions older than this are thinned to one per hour."""

LATEST_QUERY = (
    select(table).where(table.c.station_id == bindparam("station_id")).order_by(table.c.timestamp.desc()).limit(1)
)
"""Compiled once, because it runs hundreds of times per second."""


@dataclass(frozen=True)
class StoredPrediction:
    """A prediction with its row id, the time at which it was stored (UTC), and the source of its observation."""

    id: int
    prediction: Prediction
    stored_at: datetime
    source: Origin | None


def save(
    connection: Connection,
    predictions: Sequence[Prediction],
    stored_at: datetime,
    source: Origin | None = None,
    inputs: Sequence[str | None] = (),
) -> None:
    """Upsert on (station_id, timestamp). A revised prediction keeps its id. The caller commits.

    Args:
        inputs: hash of the model inputs of each prediction, or None if unknown.
    """
    rows = [
        {
            **prediction.model_dump(mode="json"),
            "timestamp": prediction.timestamp,
            "method": prediction.predictions.method.value,
            "model_version": prediction.predictions.model_version,
            "is_anomaly": prediction.anomaly.is_anomaly,
            "score": prediction.anomaly.score,
            "source": source and source.value,
            "inputs_hash": inputs_hash,
            "stored_at": stored_at,
        }
        for prediction, inputs_hash in zip_longest(predictions, inputs)
    ]
    upsert(connection, table, rows, ["station_id", "timestamp"])


def latest_row(connection: Connection, station_id: str) -> Row[Any] | None:
    """The row for the newest observation of a station, or None. Its documents are not parsed.

    The documents were validated when they were stored; `latest` validates every number again.
    """
    return connection.execute(LATEST_QUERY, {"station_id": station_id}).first()


def latest_columns(connection: Connection, *columns: str) -> Sequence[Row[Any]]:
    """Some columns of the row for the newest observation of each station, ordered by station."""
    selected = (table.c[name] for name in columns)
    return connection.execute(latest_per_station(table).with_only_columns(*selected)).all()


def latest(connection: Connection, station_id: str) -> StoredPrediction | None:
    """The prediction for the newest observation of a station, or None."""
    row = latest_row(connection, station_id)
    return read_row(row, from_row) if row else None


def latest_all(connection: Connection) -> dict[str, StoredPrediction]:
    """The prediction for the newest observation of each station, by station id."""
    stored = read_rows(connection.execute(latest_per_station(table)), from_row)
    return {one.prediction.station_id: one for one in stored}


def thin(connection: Connection, now: datetime) -> int:
    """Thin predictions older than `FULL_RETENTION`: keep the first of each hour and all flagged ones.

    The caller commits.

    Returns:
        Number of deleted rows.
    """
    earlier = table.alias("earlier")
    same_hour_before = exists().where(
        earlier.c.station_id == table.c.station_id,
        earlier.c.timestamp < table.c.timestamp,
        earlier.c.timestamp >= hour_start(connection, table.c.timestamp),
    )
    result = connection.execute(
        delete(table).where(table.c.timestamp < now - FULL_RETENTION, not_(table.c.is_anomaly), same_hour_before)
    )
    return result.rowcount


def from_row(row: Row[Any]) -> StoredPrediction:
    """The prediction of a table row."""
    prediction = Prediction.model_validate(
        {name: getattr(row, name) for name in ("station_id", "timestamp", "predictions", "anomaly", "confidence")}
    )
    return StoredPrediction(row.id, prediction, row.stored_at, stored_origin(row.source))
