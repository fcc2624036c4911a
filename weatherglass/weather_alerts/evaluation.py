"""Evaluates a rule for its stations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from weatherglass.records import iso
from weatherglass.store.anomalies import ScoredReading
from weatherglass.store.anomaly_events import MAX_GAP, AnomalyEvent, group_events
from weatherglass.weather_alerts.outlook import NotEvaluated, StationForecast, continues, outlook
from weatherglass.weather_alerts.rule import FaultRule, ForecastRule

READING_SPAN = MAX_GAP * 12
"""Age of the oldest flagged reading that a rule about faults looks at."""


@dataclass(frozen=True)
class Finding:
    """Whether the alert of a rule is open for a station, and what the store keeps of it."""

    is_open: bool
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StationData:
    """What the rules are evaluated with.

    Attributes:
        forecasts: the newest of each station, by station id.
        events: anomaly events with a reading within `READING_SPAN`, by station id.
    """

    forecasts: Mapping[str, StationForecast]
    events: Mapping[str, Sequence[AnomalyEvent]]


def station_data(forecasts: Sequence[StationForecast], flagged: Sequence[ScoredReading]) -> StationData:
    """Group forecasts and flagged readings, in any order, by station."""
    events: defaultdict[str, list[AnomalyEvent]] = defaultdict(list)
    for event in group_events(flagged):
        events[event.station_id].append(event)
    return StationData({forecast.station_id: forecast for forecast in forecasts}, events)


def evaluate(
    rule: ForecastRule | FaultRule, data: StationData, open_at: Sequence[str], now: datetime
) -> dict[str, Finding | NotEvaluated]:
    """The result of a rule for each of its stations.

    Args:
        open_at: ids of the stations with an open alert of this rule.
    """
    stations = sorted({*data.forecasts, *open_at}) if rule.stations is None else sorted(set(rule.stations))
    if isinstance(rule, FaultRule):
        return {station_id: _fault(rule, data, station_id, now) for station_id in stations}
    return {station_id: _forecast(rule, data, station_id, station_id in open_at, now) for station_id in stations}


def _forecast(
    rule: ForecastRule, data: StationData, station_id: str, is_open: bool, now: datetime
) -> Finding | NotEvaluated:
    forecast = data.forecasts.get(station_id)
    if forecast is None:
        return NotEvaluated.NO_FORECAST
    found = outlook(rule, forecast, now)
    if isinstance(found, NotEvaluated):
        return found
    if not continues(rule, is_open, found.probability):
        return Finding(False)
    return Finding(True, found.details(rule, forecast))


def _fault(rule: FaultRule, data: StationData, station_id: str, now: datetime) -> Finding | NotEvaluated:
    if station_id not in data.forecasts:
        return NotEvaluated.NO_READING
    for event in data.events.get(station_id, ()):
        readings = [reading for reading in event.readings if reading.score >= rule.min_score]
        if len(readings) >= rule.min_readings and now - readings[-1].timestamp <= MAX_GAP:
            worst = max(readings, key=lambda reading: reading.score)
            details = {
                "kind": rule.kind,
                "checks": sorted(event.kinds),
                "reasons": list(worst.anomaly["reasons"]),
                "score": worst.score,
                "readings": len(readings),
                "last_reading": iso(readings[-1].timestamp),
                "until": iso(readings[-1].timestamp + MAX_GAP),
                "source": worst.source.value if worst.source else None,
            }
            return Finding(True, details)
    return Finding(False)
