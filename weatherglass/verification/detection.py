"""Judging the anomaly flags: against faults that were injected on purpose, and by people's verdicts.

An injected fault is found if a reading in it, or shortly after it, has a flag of a variable that it disturbs. An event,
a run of flagged readings of a station, that touches no fault is a false alarm of no kind: of a replayed or simulated
station, in the week after a fault was injected into any of them; elsewhere nobody knows what is true. The replayed
readings hold real faults of their own, so precision is told on the cautious side. A verdict counts the flag it is
about.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from weatherglass.anomaly.fault_injection import HOURS
from weatherglass.store import detection_scores
from weatherglass.store.detection_scores import InjectedFault
from weatherglass.store.verdicts import Judgement

RULES_ONLY = "none"
NO_KIND = ""
LONGEST = timedelta(hours=max(longest for _, longest in HOURS.values()))
"""A fault may be found so long after the day on which it counts."""
INJECTING = timedelta(days=7)
"""So long after a fault, more are taken to be injected."""
LATEST = timedelta(hours=1)
"""A fault may be noticed so long after its last wrong reading: the step back looks odd as well."""


def judge(connection: Connection, day: date) -> list[dict[str, Any]]:
    """Rows of the table `detection` for the readings of a UTC day, stored. The caller commits."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = start + timedelta(days=1)
    tallies: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for verdict, anomaly in detection_scores.verdict_counts(connection, start, end):
        outcome = "hits" if verdict == Judgement.CONFIRMED.value else "false_alarms"
        tallies[_version(anomaly), detection_scores.VERDICT, NO_KIND][outcome] += 1
    faults = detection_scores.faults_between(connection, start - INJECTING, end)
    if faults:
        readings = detection_scores.replayed_between(connection, start - LATEST, end + LONGEST + LATEST)
        for (version, kind), tally in against_faults(readings, faults, start, end).items():
            tallies[version, detection_scores.INJECTED, kind] += tally
    rows = [
        {
            "version": version,
            "day": day,
            "truth": truth,
            "kind": kind,
            **{outcome: tally[outcome] for outcome in ("hits", "misses", "false_alarms")},
        }
        for (version, truth, kind), tally in tallies.items()
    ]
    detection_scores.replace_detection(connection, day, rows)
    return rows


def against_faults(
    readings: Sequence[Any], faults: Sequence[InjectedFault], start: datetime, end: datetime
) -> dict[tuple[str, str], Counter[str]]:
    """Hits and misses by the detector's version and the fault's kind, false alarms by version and `NO_KIND`.

    Faults count on the day they begin, false alarms on the day their first reading is of. A fault without any reading
    counts nowhere.
    """
    tallies: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    by_station = defaultdict(list)
    for reading in readings:
        by_station[reading.station_id].append(reading)
    for station in by_station:
        mine = [fault for fault in faults if fault.station_id == station]
        for fault in mine:
            within = [r for r in by_station[station] if fault.start <= r.timestamp <= fault.end + LATEST]
            if within and start <= fault.start < end:
                found = any(_tells_of(reading, fault) for reading in within)
                tallies[_version(within[0].anomaly), fault.kind]["hits" if found else "misses"] += 1
        for event in _events(by_station[station]):
            touched = any(
                fault.start <= event[-1].timestamp and event[0].timestamp <= fault.end + LATEST for fault in mine
            )
            if not touched and start <= event[0].timestamp < end:
                tallies[_version(event[0].anomaly), NO_KIND]["false_alarms"] += 1
    return tallies


def _tells_of(reading: Any, fault: InjectedFault) -> bool:
    return any(flag["variable"] in fault.variables for flag in reading.anomaly.get("flags", []))


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
