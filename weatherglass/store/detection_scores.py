"""Detector scores against injected faults and against verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select

from weatherglass.record_headers import Origin
from weatherglass.records import VARIABLES
from weatherglass.store.dialect import upsert
from weatherglass.store.schema import detection, injected_faults, predictions, verdicts

ARTIFICIAL_SOURCES = (Origin.REPLAY.value, Origin.SIMULATED.value)
"""Sources whose readings faults may be injected into."""
INJECTED, VERDICT = "injected", "verdict"
"""Values of `detection.truth`: the reference that flags are scored against."""
WHOLE_STATION = "all"
"""Variable of a fault that affects all variables at once."""


@dataclass(frozen=True)
class InjectedFault:
    """A fault deliberately injected into observations. Times (UTC) of the first and the last wrong reading."""

    station_id: str
    variable: str
    kind: str
    start: datetime
    end: datetime

    @property
    def variables(self) -> tuple[str, ...]:
        return VARIABLES if self.variable == WHOLE_STATION else (self.variable,)


def save_faults(connection: Connection, faults: Sequence[InjectedFault]) -> None:
    """Upsert injected faults on (station_id, variable, start). The caller commits."""
    upsert(connection, injected_faults, [vars(fault) for fault in faults], ["station_id", "variable", "start"])


def faults_between(connection: Connection, start: datetime, end: datetime) -> list[InjectedFault]:
    """Injected faults that overlap [start, end), oldest first."""
    names = ("station_id", "variable", "kind", "start", "end")
    query = select(*(injected_faults.c[name] for name in names)).where(
        injected_faults.c.end >= start, injected_faults.c.start < end
    )
    return [InjectedFault(*row) for row in connection.execute(query.order_by(injected_faults.c.start))]


def artificial_readings_between(connection: Connection, start: datetime, end: datetime) -> Sequence[Any]:
    """Replayed or simulated readings of [start, end), by station and time.

    Rows of `station_id`, `timestamp`, `is_anomaly`, `anomaly`.
    """
    names = ("station_id", "timestamp", "is_anomaly", "anomaly")
    query = select(*(predictions.c[name] for name in names)).where(
        predictions.c.timestamp >= start, predictions.c.timestamp < end, predictions.c.source.in_(ARTIFICIAL_SOURCES)
    )
    return connection.execute(query.order_by(predictions.c.station_id, predictions.c.timestamp)).all()


def verdicts_between(connection: Connection, start: datetime, end: datetime) -> Sequence[Any]:
    """Verdicts on flagged readings of [start, end): rows of `verdict` and the detector's `anomaly` document."""
    query = (
        select(verdicts.c.verdict, predictions.c.anomaly)
        .join(
            predictions,
            (predictions.c.station_id == verdicts.c.station_id) & (predictions.c.timestamp == verdicts.c.timestamp),
        )
        .where(verdicts.c.timestamp >= start, verdicts.c.timestamp < end, predictions.c.is_anomaly)
    )
    return connection.execute(query).all()


def replace_detection_scores(connection: Connection, day: date, rows: Sequence[dict[str, Any]]) -> None:
    """Replace the day's rows of the table `detection`. The caller commits."""
    connection.execute(delete(detection).where(detection.c.day == day))
    if rows:
        connection.execute(detection.insert(), list(rows))


@dataclass(frozen=True)
class DetectionScore:
    """Counts of a detector version against one kind of reference; `kind` is empty if the reference has none."""

    version: str
    truth: str
    kind: str
    hits: int
    misses: int
    false_alarms: int


def detection_totals(connection: Connection, since: date) -> list[DetectionScore]:
    """Sums over the days from `since` on, by version, reference and kind."""
    names = (detection.c.version, detection.c.truth, detection.c.kind)
    sums = (func.sum(detection.c[name]) for name in ("hits", "misses", "false_alarms"))
    query = select(*names, *sums).where(detection.c.day >= since).group_by(*names).order_by(*names)
    return [DetectionScore(*row) for row in connection.execute(query)]
