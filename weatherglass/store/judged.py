"""How good the anomaly flags are, by the faults that were injected and by what people say; and the drift of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, select

from weatherglass.store.dialect import upsert
from weatherglass.store.schema import comparisons, detection, drift, injected_faults, predictions, verdicts


@dataclass(frozen=True)
class InjectedFault:
    """A fault put into observations on purpose; times (UTC) of the first and the last wrong reading."""

    station_id: str
    variable: str
    kind: str
    start: datetime
    end: datetime


def note_faults(connection: Connection, faults: Sequence[InjectedFault]) -> None:
    """Keep the labels of injected faults; the same fault again changes nothing. The caller commits."""
    upsert(connection, injected_faults, [vars(fault) for fault in faults], ["station_id", "variable", "start"])


def faults_between(connection: Connection, start: datetime, end: datetime) -> list[InjectedFault]:
    """Injected faults that touch [start, end), oldest first."""
    names = ("station_id", "variable", "kind", "start", "end")
    query = select(*(injected_faults.c[name] for name in names)).where(
        injected_faults.c.end >= start, injected_faults.c.start < end
    )
    return [InjectedFault(*row) for row in connection.execute(query.order_by(injected_faults.c.start))]


def readings_between(connection: Connection, start: datetime, end: datetime) -> Sequence[Any]:
    """Judged readings of [start, end) by station and time: `station_id`, `timestamp`, `is_anomaly`, `anomaly`."""
    names = ("station_id", "timestamp", "is_anomaly", "anomaly")
    query = select(*(predictions.c[name] for name in names)).where(
        predictions.c.timestamp >= start, predictions.c.timestamp < end
    )
    return connection.execute(query.order_by(predictions.c.station_id, predictions.c.timestamp)).all()


def verdict_counts(connection: Connection, start: datetime, end: datetime) -> Sequence[Any]:
    """Verdicts on flagged readings of [start, end): `verdict`, and the `anomaly` that was judged."""
    query = (
        select(verdicts.c.verdict, predictions.c.anomaly)
        .join(
            predictions,
            (predictions.c.station_id == verdicts.c.station_id) & (predictions.c.timestamp == verdicts.c.timestamp),
        )
        .where(verdicts.c.timestamp >= start, verdicts.c.timestamp < end, predictions.c.is_anomaly)
    )
    return connection.execute(query).all()


def save_detection(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Upsert on (version, day, truth). The caller commits."""
    upsert(connection, detection, rows, ["version", "day", "truth"])


def save_drift(connection: Connection, version: str, day: date, found: Sequence[Any]) -> None:
    """Upsert each `verification.drift.Drift` on (version, day, feature). The caller commits."""
    rows = [{"version": version, "day": day, **vars(one)} for one in found]
    upsert(connection, drift, rows, ["version", "day", "feature"])


def save_comparison(connection: Connection, at: datetime, champion: str, challenger: str, made: Any) -> None:
    """Append a `verification.comparison.Comparison`. The caller commits."""
    row = {"at": at, "champion": champion, "challenger": challenger, "decision": made.decision.value, "why": made.why}
    connection.execute(comparisons.insert().values({**row, "figures": made.figures()}))
