"""How the pipeline flows, from the times at which it stored things: what is new, latency and throughput."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, select

from weatherglass.store.anomalies import JudgedReading, judged_readings
from weatherglass.store.schema import observations, predictions


def stored_since(connection: Connection, after: datetime, limit: int) -> list[JudgedReading]:
    """Readings whose predictions were stored or revised after a time, in the order of storing."""
    query = (
        select(predictions)
        .where(predictions.c.stored_at > after)
        .order_by(predictions.c.stored_at, predictions.c.id)
        .limit(limit)
    )
    return judged_readings(connection, query)


def newest_stored(connection: Connection) -> datetime | None:
    """When the last prediction was stored; None before the first."""
    return connection.execute(select(func.max(predictions.c.stored_at))).scalar()


@dataclass(frozen=True)
class Flow:
    """What was stored in [start, start + step). Latency in seconds, None where no prediction was stored."""

    start: datetime
    observations: int
    predictions: int
    latency_p50: float | None
    latency_p95: float | None


def flow(connection: Connection, start: datetime, end: datetime, step: timedelta) -> list[Flow]:
    """Counts and latency in steps over [start, end), the last step perhaps shorter.

    Latency is from an observation's coming into the store to its prediction's: the sink reads both topics within
    a fifth of a second, so that is how long features and inference took. Revised records, whose first time of storing
    is no longer known, count by their last one.
    """
    seen: defaultdict[int, int] = defaultdict(int)
    waits: defaultdict[int, list[float]] = defaultdict(list)
    arrived = select(observations.c.stored_at).where(observations.c.stored_at >= start, observations.c.stored_at < end)
    for (at,) in connection.execute(arrived):
        seen[(at - start) // step] += 1
    answered = (
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
    made: defaultdict[int, int] = defaultdict(int)
    for answer, observation in connection.execute(answered):
        number = (answer - start) // step
        made[number] += 1
        if observation is not None and observation <= answer:
            waits[number].append((answer - observation).total_seconds())
    return [
        Flow(start + number * step, seen[number], made[number], _share(waits[number], 0.5), _share(waits[number], 0.95))
        for number in range(-(-(end - start) // step))
    ]


def _share(values: Sequence[float], share: float) -> float | None:
    """The value that a share of the values does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else None
