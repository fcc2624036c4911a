"""Shadow predictions: forecasts from the same inputs by the version that does not serve the station."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete

from weatherglass.records import Prediction
from weatherglass.store.dialect import upsert
from weatherglass.store.predictions import FULL_RETENTION
from weatherglass.store.schema import shadow_predictions as table


def save(
    connection: Connection, predictions: Sequence[Prediction], stored_at: datetime, inputs: Sequence[str | None]
) -> None:
    """Upsert on (station_id, timestamp, model_version). The caller commits.

    Args:
        inputs: hash of the model inputs of each prediction, or None if unknown.
    """
    rows = [
        {
            "station_id": prediction.station_id,
            "timestamp": prediction.timestamp,
            "model_version": prediction.predictions.model_version,
            "method": prediction.predictions.method.value,
            "predictions": prediction.predictions.model_dump(mode="json"),
            "confidence": prediction.confidence.model_dump(mode="json"),
            "inputs_hash": inputs_hash,
            "stored_at": stored_at,
        }
        for prediction, inputs_hash in zip(predictions, inputs, strict=True)
    ]
    upsert(connection, table, rows, ["station_id", "timestamp", "model_version"])


def thin(connection: Connection, now: datetime) -> int:
    """Delete shadow predictions older than `FULL_RETENTION`; returns their number. The caller commits."""
    return connection.execute(delete(table).where(table.c.timestamp < now - FULL_RETENTION)).rowcount
