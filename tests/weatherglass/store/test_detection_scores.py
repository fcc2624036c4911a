"""Which injected faults and readings belong to an interval."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from tests.weatherglass.store.samples import a_prediction
from weatherglass.record_headers import Origin
from weatherglass.store import predictions
from weatherglass.store.detection_scores import (
    InjectedFault,
    artificial_readings_between,
    faults_between,
    save_faults,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
END = START + timedelta(hours=6)
MINUTE = timedelta(minutes=1)


def test_faults_overlap_the_interval_without_its_end(store: Engine) -> None:
    spans = {
        "before": (START - 2 * MINUTE, START - MINUTE),
        "last-reading-at-start": (START - MINUTE, START),
        "inside": (START + MINUTE, START + 2 * MINUTE),
        "first-reading-at-end": (END, END + MINUTE),
        "longer": (START - MINUTE, END + MINUTE),
    }
    with store.begin() as connection:
        save_faults(connection, [InjectedFault(name, "temperature", "spike", *span) for name, span in spans.items()])
    with store.connect() as connection:
        found = [fault.station_id for fault in faults_between(connection, START, END)]
    assert sorted(found) == ["inside", "last-reading-at-start", "longer"]


def test_only_artificial_readings_of_the_interval_without_its_end_are_scored(store: Engine) -> None:
    times = [START - MINUTE, START, END - MINUTE, END]
    with store.begin() as connection:
        for origin in (Origin.REPLAY, Origin.SIMULATED, Origin.METAR):
            readings = [a_prediction(origin.value, time) for time in times]
            predictions.save(connection, readings, END, origin)
    with store.connect() as connection:
        rows = artificial_readings_between(connection, START, END)
    assert [(row.station_id, row.timestamp.replace(tzinfo=UTC)) for row in rows] == [
        (origin.value, time) for origin in (Origin.REPLAY, Origin.SIMULATED) for time in (START, END - MINUTE)
    ]
