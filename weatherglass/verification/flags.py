"""Judging the anomaly flags: against faults that were injected on purpose, and by people's verdicts.

An event is a run of flagged readings of a station. An injected fault is found if an event touches it; an event that
touches none is a false alarm, but only on stations into which faults are injected that day, since elsewhere nobody
knows what is true. A verdict counts the flag it is about.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from weatherglass.store import judged
from weatherglass.store.judged import InjectedFault
from weatherglass.store.verdicts import Judgement

RULES_ONLY = "none"
LATEST = timedelta(hours=1)
"""A fault may be noticed so long after its last wrong reading: the step back looks odd as well."""


def judge(connection: Connection, day: date) -> list[dict[str, Any]]:
    """Rows of the table `detection` for the readings of a UTC day, stored. The caller commits."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = start + timedelta(days=1)
    tallies: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for verdict, anomaly in judged.verdict_counts(connection, start, end):
        outcome = "hits" if verdict == Judgement.CONFIRMED.value else "false_alarms"
        tallies[_version(anomaly), "verdict"][outcome] += 1
    faults = judged.faults_between(connection, start, end)
    if faults:
        readings = judged.readings_between(connection, start - LATEST, end + LATEST)
        for version, tally in against_faults(readings, faults, start, end).items():
            tallies[version, "injected"] += tally
    rows = [
        {
            "version": version,
            "day": day,
            "truth": truth,
            **{outcome: tally[outcome] for outcome in ("hits", "misses", "false_alarms")},
        }
        for (version, truth), tally in tallies.items()
    ]
    judged.save_detection(connection, rows)
    return rows


def against_faults(
    readings: Sequence[Any], faults: Sequence[InjectedFault], start: datetime, end: datetime
) -> dict[str, Counter[str]]:
    """Hits, misses and false alarms by the detector's version.

    Faults count on the day they begin, false alarms on the day their first reading is of. A fault without any reading
    counts nowhere.
    """
    tallies: dict[str, Counter[str]] = defaultdict(Counter)
    by_station = defaultdict(list)
    for reading in readings:
        by_station[reading.station_id].append(reading)
    for station in {fault.station_id for fault in faults}:
        mine = [fault for fault in faults if fault.station_id == station]
        for fault in mine:
            within = [r for r in by_station[station] if fault.start <= r.timestamp <= fault.end + LATEST]
            if within and start <= fault.start < end:
                found = any(reading.is_anomaly for reading in within)
                tallies[_version(within[0].anomaly)]["hits" if found else "misses"] += 1
        for event in _events(by_station[station]):
            touched = any(
                fault.start <= event[-1].timestamp and event[0].timestamp <= fault.end + LATEST for fault in mine
            )
            if not touched and start <= event[0].timestamp < end:
                tallies[_version(event[0].anomaly)]["false_alarms"] += 1
    return tallies


def _events(readings: Sequence[Any]) -> list[list[Any]]:
    """Runs of flagged readings, of one station's readings in the order of time."""
    runs: list[list[Any]] = []
    before = False
    for reading in readings:
        if reading.is_anomaly:
            runs = runs if before else [*runs, []]
            runs[-1].append(reading)
        before = reading.is_anomaly
    return runs


def _version(anomaly: dict[str, Any]) -> str:
    return anomaly.get("model_version") or RULES_ONLY
