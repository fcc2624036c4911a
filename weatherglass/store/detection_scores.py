"""How good the anomaly flags are, by the faults that were injected and by what people say; and the drift of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from weatherglass.records import VARIABLES, Origin
from weatherglass.store.dialect import upsert
from weatherglass.store.schema import comparisons, detection, drift, injected_faults, predictions, verdicts

NOT_REAL = (Origin.REPLAY.value, Origin.SIMULATED.value)
"""Sources into whose readings faults may be injected."""
INJECTED, VERDICT = "injected", "verdict"
"""What flags are judged by."""
WHOLE_STATION = "all"
"""The variable of a fault of all variables at once."""


@dataclass(frozen=True)
class InjectedFault:
    """A fault put into observations on purpose; times (UTC) of the first and the last wrong reading."""

    station_id: str
    variable: str
    kind: str
    start: datetime
    end: datetime

    @property
    def variables(self) -> tuple[str, ...]:
        return VARIABLES if self.variable == WHOLE_STATION else (self.variable,)


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


def replayed_between(connection: Connection, start: datetime, end: datetime) -> Sequence[Any]:
    """Judged readings of [start, end), replayed or simulated, by station and time.

    Rows of `station_id`, `timestamp`, `is_anomaly`, `anomaly`.
    """
    names = ("station_id", "timestamp", "is_anomaly", "anomaly")
    query = select(*(predictions.c[name] for name in names)).where(
        predictions.c.timestamp >= start, predictions.c.timestamp < end, predictions.c.source.in_(NOT_REAL)
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


def replace_detection(connection: Connection, day: date, rows: Sequence[dict[str, Any]]) -> None:
    """The day's rows of `detection`, in place of those there were. The caller commits."""
    connection.execute(delete(detection).where(detection.c.day == day))
    if rows:
        connection.execute(detection.insert(), list(rows))


@dataclass(frozen=True)
class DetectionScore:
    """How good a detector's flags were by one kind of truth; `kind` is empty where it has none."""

    version: str
    truth: str
    kind: str
    hits: int
    misses: int
    false_alarms: int


def detections(connection: Connection, since: date) -> list[DetectionScore]:
    """Sums over the days from `since` on, by version, truth and kind."""
    names = (detection.c.version, detection.c.truth, detection.c.kind)
    sums = (func.sum(detection.c[name]) for name in ("hits", "misses", "false_alarms"))
    query = select(*names, *sums).where(detection.c.day >= since).group_by(*names).order_by(*names)
    return [DetectionScore(*row) for row in connection.execute(query)]


def save_drift(connection: Connection, version: str, day: date, found: Sequence[Any]) -> None:
    """Upsert each `verification.drift.Drift` on (version, day, feature). The caller commits."""
    rows = [{"version": version, "day": day, **vars(one)} for one in found]
    upsert(connection, drift, rows, ["version", "day", "feature"])


def save_comparison(connection: Connection, at: datetime, champion: str, challenger: str, made: Any) -> None:
    """Append a `verification.comparison.Comparison`. The caller commits."""
    row = {"at": at, "champion": champion, "challenger": challenger, "decision": made.decision.value, "why": made.why}
    connection.execute(comparisons.insert().values({**row, "figures": made.figures()}))
