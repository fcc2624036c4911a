"""Anomaly events: consecutive flagged readings of one fault."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from weatherglass.store.anomalies import ScoredReading

MAX_GAP = timedelta(hours=2)
"""Longest time between two consecutive flags of an event. A station that reports hourly may miss one report."""


@dataclass
class AnomalyEvent:
    """Consecutive flagged readings of a station: each follows the one before within `MAX_GAP`, and shares a failed
    check with the event so far.

    Attributes:
        readings: at least one, in the order of their times.
        kinds: names of all failed checks.
    """

    readings: list[ScoredReading]
    kinds: set[str] = field(default_factory=set)

    @property
    def id(self) -> int:
        """The id of the first reading."""
        return self.readings[0].id

    @property
    def station_id(self) -> str:
        return self.readings[0].station_id

    @property
    def onset(self) -> datetime:
        """Time of the first reading, UTC."""
        return self.readings[0].timestamp

    @property
    def end(self) -> datetime:
        """Time of the last flagged reading so far, UTC."""
        return self.readings[-1].timestamp

    @property
    def worst(self) -> ScoredReading:
        """The first of the readings with the highest score."""
        return max(self.readings, key=lambda reading: reading.score)

    def continues_with(self, reading: ScoredReading) -> bool:
        return reading.timestamp - self.end <= MAX_GAP and not self.kinds.isdisjoint(reading.failed)

    def add(self, reading: ScoredReading) -> None:
        self.readings.append(reading)
        self.kinds.update(reading.failed)


def group_events(readings: Iterable[ScoredReading]) -> list[AnomalyEvent]:
    """Group flagged readings, in any order, into events; the event with the newest flag first."""
    events: list[AnomalyEvent] = []
    current: dict[str, list[AnomalyEvent]] = {}  # the events of each station that may continue
    for reading in sorted(readings, key=lambda reading: (reading.timestamp, reading.id)):
        recent = [e for e in current.get(reading.station_id, ()) if reading.timestamp - e.end <= MAX_GAP]
        event = next((event for event in reversed(recent) if event.continues_with(reading)), None)
        if event is None:
            event = AnomalyEvent([])
            events.append(event)
            recent.append(event)
        event.add(reading)
        current[reading.station_id] = recent
    return sorted(events, key=lambda event: (event.end, event.id), reverse=True)
