"""Predictions in the store: one row an issue, its leads as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, not_, select

from weatherglass.records import Origin, Prediction
from weatherglass.store.dialect import hour_start, upsert
from weatherglass.store.latest_per_station import newest_per_station
from weatherglass.store.schema import predictions as table

KEPT_WHOLE = timedelta(days=35)
"""Older issues than this are thinned to one an hour."""

NEWEST = select(table).where(table.c.station_id == bindparam("station_id")).order_by(table.c.timestamp.desc()).limit(1)
"""Made once: it is asked hundreds of times a second."""


@dataclass(frozen=True)
class StoredPrediction:
    """A prediction, its number in the store, when it came there (UTC), and where its observations come from."""

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
    """Upsert on (station_id, timestamp); the caller commits. A revised prediction keeps its number.

    Args:
        inputs: of each prediction the hash of what the model was given, where it is known.
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


def newest(connection: Connection, station_id: str) -> Row[Any] | None:
    """A station's row of the table for its newest observation, documents as they lie there; None before the first.

    They were checked when they came; `latest` checks each of their numbers again.
    """
    return connection.execute(NEWEST, {"station_id": station_id}).first()


def newest_of_all(connection: Connection, *columns: str) -> Sequence[Row[Any]]:
    """These columns of each station's row for its newest observation, in the order of the stations."""
    wanted = (table.c[name] for name in columns)
    return connection.execute(newest_per_station(table).with_only_columns(*wanted)).all()


def latest(connection: Connection, station_id: str) -> StoredPrediction | None:
    """A station's prediction for its newest observation; None before the first."""
    row = newest(connection, station_id)
    return stored(row) if row else None


def latest_all(connection: Connection) -> dict[str, StoredPrediction]:
    """The latest prediction of each station, by station id."""
    return {row.station_id: stored(row) for row in connection.execute(newest_per_station(table))}


def newest_timestamp(connection: Connection) -> datetime | None:
    """Time of the newest observation that any station's prediction answers."""
    return connection.execute(select(func.max(table.c.timestamp))).scalar()


def thin(connection: Connection, now: datetime) -> int:
    """Of the issues older than `KEPT_WHOLE` keep each hour's first and all that flag an anomaly; how many went.

    The caller commits.
    """
    earlier = table.alias("earlier")
    same_hour_before = exists().where(
        earlier.c.station_id == table.c.station_id,
        earlier.c.timestamp < table.c.timestamp,
        earlier.c.timestamp >= hour_start(connection, table.c.timestamp),
    )
    result = connection.execute(
        delete(table).where(table.c.timestamp < now - KEPT_WHOLE, not_(table.c.is_anomaly), same_hour_before)
    )
    return result.rowcount


def stored(row: Row[Any]) -> StoredPrediction:
    """A row of the table as the record it was."""
    prediction = Prediction.model_validate(
        {name: getattr(row, name) for name in ("station_id", "timestamp", "predictions", "anomaly", "confidence")}
    )
    return StoredPrediction(row.id, prediction, row.stored_at, row.source and Origin(row.source))
