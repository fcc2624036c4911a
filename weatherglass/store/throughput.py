"""Throughput and latency of the pipeline, derived from the times at which records were stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, select

from weatherglass.store.anomalies import ScoredReading, scored_readings
from weatherglass.store.schema import observations, predictions


def stored_since(connection: Connection, after: datetime, limit: int) -> list[ScoredReading]:
    """Readings whose predictions were stored or revised after a time, in the order in which they were stored."""
    query = (
        select(predictions)
        .where(predictions.c.stored_at > after)
        .order_by(predictions.c.stored_at, predictions.c.id)
        .limit(limit)
    )
    return scored_readings(connection, query)


def last_stored_at(connection: Connection) -> datetime | None:
    """Time at which the last prediction was stored, or None."""
    return connection.execute(select(func.max(predictions.c.stored_at))).scalar()


@dataclass(frozen=True)
class ThroughputStep:
    """Counts of records stored in [start, start + step). Latency in seconds, None if it is unknown."""

    start: datetime
    observations: int
    predictions: int
    latency_p50: float | None
    latency_p95: float | None


def throughput(connection: Connection, start: datetime, end: datetime, step: timedelta) -> list[ThroughputStep]:
    """Counts and latency in steps over [start, end); the last step may be shorter.

    Latency is the time between storing an observation and storing its prediction. The sink polls both topics within
    200 ms, so this is the time that features and inference take. A revised record counts at its last time of storing,
    because the first one is overwritten. Percentiles are nearest-rank values without interpolation.
    """
    observation_counts: defaultdict[int, int] = defaultdict(int)
    prediction_counts: defaultdict[int, int] = defaultdict(int)
    latencies: defaultdict[int, list[float]] = defaultdict(list)
    stored_observations = select(observations.c.stored_at).where(
        observations.c.stored_at >= start, observations.c.stored_at < end
    )
    for (stored_at,) in connection.execute(stored_observations):
        observation_counts[(stored_at - start) // step] += 1
    stored_predictions = (
        select(predictions.c.stored_at, observations.c.stored_at)
        .join_from(
            predictions,
            observations,
            and_(
                observations.c.station_id == predictions.c.station_id,
                observations.c.timestamp == predictions.c.timestamp,
            ),
            isouter=True,
        )
        .where(predictions.c.stored_at >= start, predictions.c.stored_at < end)
    )
    for predicted_at, observed_at in connection.execute(stored_predictions):
        number = (predicted_at - start) // step
        prediction_counts[number] += 1
        if observed_at is not None and observed_at <= predicted_at:
            latencies[number].append((predicted_at - observed_at).total_seconds())
    return [
        ThroughputStep(
            start + number * step,
            observation_counts[number],
            prediction_counts[number],
            _percentile(latencies[number], 0.5),
            _percentile(latencies[number], 0.95),
        )
        for number in range(-(-(end - start) // step))
    ]


def _percentile(values: Sequence[float], share: float) -> float | None:
    """The sorted value at index floor(n * share), limited to the last one; None without values."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else None
