"""Applies a rule to a forecast: the hour of its lead window in which the condition is most probable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import LEADS, VARIABLES, iso
from weatherglass.store.readable import read_row
from weatherglass.weather_alerts.probability import probability_above, probability_below
from weatherglass.weather_alerts.rule import ForecastRule


class NotEvaluated(StrEnum):
    """Why a rule could not be evaluated for a station."""

    NO_FORECAST = "no_forecast"
    """There is none for an hour to come in the lead window."""
    UNREADABLE = "unreadable"
    """The stored record cannot be read."""
    NO_READING = "no_reading"
    """The station has no checked reading."""
    NO_OBSERVATION = "no_observation"
    """A change needs the observation, which is missing or flagged."""


@dataclass(frozen=True)
class StationForecast:
    """A stored prediction with what it is based on.

    Attributes:
        timestamp: of the observation, UTC.
        predictions, confidence: the documents of `records.Prediction`.
        is_anomaly: whether the observation is flagged.
        observed: the values of the observation by variable, in the units of the records.
        source: source of the observation, None if unknown.
    """

    station_id: str
    timestamp: datetime
    predictions: Any
    confidence: Any
    is_anomaly: bool
    observed: Mapping[str, float | None]
    source: str | None

    @classmethod
    def from_row(cls, row: Any) -> StationForecast:
        """The forecast of a row of `store.forecast_inputs`."""
        observed = {name: getattr(row, name) for name in VARIABLES}
        fields = {name: getattr(row, name) for name in cls.__dataclass_fields__ if name != "observed"}
        return cls(**fields, observed=observed)


@dataclass(frozen=True)
class HourOutlook:
    """What a forecast says about one hour; values in the units of the records."""

    valid_time: datetime
    probability: float
    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Outlook:
    """What a forecast says about the hours of a lead window that are still to come; times in UTC.

    Attributes:
        peak: the first of the hours with the highest probability. The probability that the condition holds at any time
            is at least its probability.
        first_time: the first hour whose probability reaches that of the rule; None if there is none.
        hours: at least one.
        level: nominal coverage of the interval of `peak`.
        observed: the observation that a change refers to, None without a change.
    """

    peak: HourOutlook
    first_time: datetime | None
    hours: tuple[datetime, ...]
    level: float
    observed: float | None

    @property
    def probability(self) -> float:
        return self.peak.probability

    @property
    def until(self) -> datetime:
        """The last hour."""
        return self.hours[-1]

    def details(self, rule: ForecastRule, forecast: StationForecast) -> dict[str, Any]:
        """What the store keeps of an alert; values in the unit of the rule."""
        unit = rule.known_unit
        values = {"value": self.peak.value, "lower": self.peak.lower, "upper": self.peak.upper}
        observed = {} if self.observed is None else {"observed": self.observed}
        return {
            "kind": rule.kind,
            "variable": rule.variable,
            "condition": rule.condition.value,
            "threshold": rule.threshold,
            "unit": unit.name,
            "probability": round(self.probability, 4),
            "valid_time": iso(self.peak.valid_time),
            "first_time": iso(self.first_time) if self.first_time else None,
            "until": iso(self.until),
            "interval_level": self.level,
            "forecast_of": iso(forecast.timestamp),
            "source": forecast.source,
            **{name: round(rule.in_rule_unit(value), 3) for name, value in (values | observed).items()},
        }


def outlook(rule: ForecastRule, forecast: StationForecast, now: datetime) -> Outlook | NotEvaluated:
    """What a forecast says about the hours after `now` in the lead window of a rule."""
    observed = None
    if rule.is_change:
        observed = None if forecast.is_anomaly else forecast.observed.get(rule.variable)
        if observed is None:
            return NotEvaluated.NO_OBSERVATION

    def read_hours(row: StationForecast) -> list[HourOutlook]:
        return _hours(rule, row, now, observed)

    hours = read_row(forecast, read_hours)
    if hours is None:
        return NotEvaluated.UNREADABLE
    if not hours:
        return NotEvaluated.NO_FORECAST
    peak = max(hours, key=lambda hour: hour.probability)
    reached = (hour.valid_time for hour in hours if hour.probability >= rule.probability)
    level = float(forecast.confidence["level"])
    return Outlook(peak, next(reached, None), tuple(hour.valid_time for hour in hours), level, observed)


def continues(rule: ForecastRule, is_open: bool, probability: float) -> bool:
    """Whether an alert is open after an evaluation. Between the two probabilities, its state does not change."""
    return probability >= (rule.ends_below if is_open else rule.probability)


def _hours(rule: ForecastRule, forecast: StationForecast, now: datetime, observed: float | None) -> list[HourOutlook]:
    times = [datetime.fromisoformat(text) for text in forecast.predictions["valid_times"]]
    base_hour = times[-1] - timedelta(hours=LEADS[-1])
    first, last = (base_hour + timedelta(hours=lead) for lead in (rule.first_lead, rule.last_lead))
    probability = probability_above if rule.is_upward else probability_below
    limit, limits = rule.limit(observed), RANGE_LIMITS[rule.variable]
    is_possible = limit < limits.high if rule.is_upward else limit > limits.low
    hours = []
    for i, time in enumerate(times):
        if first <= time <= last and time > now:
            value = forecast.predictions[rule.variable][i]
            bounds = _bounds(forecast.confidence, rule.variable, i)
            chance = probability(_quantiles(rule.variable, value, bounds), limit) if is_possible else 0.0
            if not 0 <= chance <= 1:
                raise ValueError(f"no probability from {value} and {bounds}")
            hours.append(HourOutlook(time, chance, value, *bounds[forecast.confidence["level"]]))
    return hours


def _bounds(confidence: dict[str, Any], variable: str, i: int) -> dict[float, tuple[float, float]]:
    """Lower and upper bound of an hour by the level of the interval."""
    intervals = (confidence, *confidence.get("others", []))
    return {one["level"]: (one["lower"][variable][i], one["upper"][variable][i]) for one in intervals}


def _quantiles(variable: str, value: float, bounds: Mapping[float, tuple[float, float]]) -> dict[float, float]:
    """Probability -> value; the value of a forecast is its median.

    A bound at a physical limit is where the interval was cut off, not a quantile: it gets the distance of the other.
    """
    limits, quantiles = RANGE_LIMITS[variable], {0.5: value}
    for level, (lower, upper) in bounds.items():
        below = max(value - lower, upper - value) if lower <= limits.low else value - lower
        above = max(value - lower, upper - value) if upper >= limits.high else upper - value
        quantiles[(1 - level) / 2], quantiles[(1 + level) / 2] = value - below, value + above
    return quantiles
