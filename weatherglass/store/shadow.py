"""Shadow predictions: what the version that did not serve a station said to the same inputs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete

from weatherglass.records import Prediction
from weatherglass.store.dialect import upsert
from weatherglass.store.predictions import KEPT_WHOLE
from weatherglass.store.schema import shadow_predictions as table


def save(
    connection: Connection, predictions: Sequence[Prediction], stored_at: datetime, inputs: Sequence[str | None]
) -> None:
    """Upsert on (station_id, timestamp, model_version); `inputs` are the hashes of the inputs. The caller commits."""
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
    """Let go of those that nothing is compared with any more; how many went. The caller commits."""
    return connection.execute(delete(table).where(table.c.timestamp < now - KEPT_WHOLE)).rowcount
