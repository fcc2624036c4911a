"""Score the anomaly flags against injected faults and against the verdicts of users.

An injected fault counts as a hit if a reading during the fault, or shortly after it, has a flag of an affected
variable. An episode, a run of flagged readings of one station, that overlaps no fault is a false alarm. False alarms
are counted for replayed and simulated stations only, during the week after any injected fault; for other stations the
truth is unknown. Replayed readings contain real faults too, so the precision is underestimated. A verdict counts for
the flag that it refers to.
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
"""Version of a detector without a model."""
NO_KIND = ""
"""Kind of false alarms and verdicts, which belong to no fault."""
MAX_FAULT_LENGTH = timedelta(hours=max(longest for _, longest in HOURS.values()))
INJECTION_PERIOD = timedelta(days=7)
"""Time after an injected fault during which false alarms are counted."""
DETECTION_DELAY = timedelta(hours=1)
"""Time after the last wrong reading within which a flag still counts as a hit: the step back is unusual as well."""


def score_day(connection: Connection, day: date) -> list[dict[str, Any]]:
    """Compute and store the rows of the table `detection` for the readings of a UTC day. The caller commits."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = start + timedelta(days=1)
    counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for verdict, anomaly in detection_scores.verdicts_between(connection, start, end):
        outcome = "hits" if verdict == Judgement.CONFIRMED.value else "false_alarms"
        counts[_version(anomaly), detection_scores.VERDICT, NO_KIND][outcome] += 1
    faults = detection_scores.faults_between(connection, start - INJECTION_PERIOD, end)
    if faults:
        readings = detection_scores.artificial_readings_between(
            connection, start - DETECTION_DELAY, end + MAX_FAULT_LENGTH + DETECTION_DELAY
        )
        for (version, kind), outcomes in against_faults(readings, faults, start, end).items():
            counts[version, detection_scores.INJECTED, kind] += outcomes
    rows = [
        {
            "version": version,
            "day": day,
            "truth": truth,
            "kind": kind,
            **{outcome: outcomes[outcome] for outcome in ("hits", "misses", "false_alarms")},
        }
        for (version, truth, kind), outcomes in counts.items()
    ]
    detection_scores.replace_detection_scores(connection, day, rows)
    return rows


def against_faults(
    readings: Sequence[Any], faults: Sequence[InjectedFault], start: datetime, end: datetime
) -> dict[tuple[str, str], Counter[str]]:
    """Hits and misses by detector version and kind of fault, false alarms by version and `NO_KIND`.

    A fault counts on the day on which it begins, a false alarm on the day of its first reading. A fault without
    readings does not count.

    Args:
        readings: by station and time, with `station_id`, `timestamp`, `is_anomaly` and `anomaly`.
        start, end: UTC; the day, half-open.
    """
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    by_station = defaultdict(list)
    for reading in readings:
        by_station[reading.station_id].append(reading)
    for station_id, station_readings in by_station.items():
        station_faults = [fault for fault in faults if fault.station_id == station_id]
        for fault in station_faults:
            during = [r for r in station_readings if fault.start <= r.timestamp <= fault.end + DETECTION_DELAY]
            if during and start <= fault.start < end:
                detected = any(_flags_fault(reading, fault) for reading in during)
                counts[_version(during[0].anomaly), fault.kind]["hits" if detected else "misses"] += 1
        for episode in _episodes(station_readings):
            overlaps = any(
                fault.start <= episode[-1].timestamp and episode[0].timestamp <= fault.end + DETECTION_DELAY
                for fault in station_faults
            )
            if not overlaps and start <= episode[0].timestamp < end:
                counts[_version(episode[0].anomaly), NO_KIND]["false_alarms"] += 1
    return counts


def _flags_fault(reading: Any, fault: InjectedFault) -> bool:
    return any(flag["variable"] in fault.variables for flag in reading.anomaly.get("flags", []))


def _episodes(readings: Sequence[Any]) -> list[list[Any]]:
    """Runs of flagged readings, from the readings of one station in order of time."""
    episodes: list[list[Any]] = []
    previous_flagged = False
    for reading in readings:
        if reading.is_anomaly:
            if not previous_flagged:
                episodes.append([])
            episodes[-1].append(reading)
        previous_flagged = reading.is_anomaly
    return episodes


def _version(anomaly: dict[str, Any]) -> str:
    return anomaly.get("model_version") or RULES_ONLY
