"""Rules and forecasts for tests of weather alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any

from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.records import LEADS, Bounds, Confidence, Interval, Prediction
from weatherglass.weather_alerts.outlook import StationForecast
from weatherglass.weather_alerts.rule import FaultRule, ForecastRule

FROST: dict[str, Any] = {
    "kind": "forecast",
    "name": "Frost",
    "stations": ["new-york"],
    "variable": "temperature",
    "condition": "below",
    "threshold": 0,
    "unit": "°C",
}
FAULT: dict[str, Any] = {"kind": "fault", "name": "Faults", "stations": ["new-york"]}


def a_rule(**fields: Any) -> ForecastRule:
    return ForecastRule.model_validate(FROST | fields)


def a_fault_rule(**fields: Any) -> FaultRule:
    return FaultRule.model_validate(FAULT | fields)


def a_normal_prediction(
    means: Mapping[str, Sequence[float]],
    deviation: float = 1.0,
    station_id: str = "new-york",
    timestamp: datetime = NOON,
) -> Prediction:
    """A prediction whose intervals at 80 and 90 % are those of normal distributions, for the hours after `timestamp`.

    Args:
        means: variable -> means by lead; the variables that are not named are far from every threshold.
    """
    usual = a_prediction(station_id, timestamp)
    values = {"temperature": [15.0] * 24, "humidity": [60.0] * 24, "pressure": [1013.0] * 24, "wind_speed": [9.0] * 24}
    values.update({name: list(series) for name, series in means.items()})

    def interval(level: float) -> dict[str, Any]:
        half_width = deviation * NormalDist().inv_cdf((1 + level) / 2)
        bounds = [
            {name: [v + sign * half_width for v in series] for name, series in values.items()} for sign in (-1, 1)
        ]
        return {"level": level, "lower": Bounds(**bounds[0]), "upper": Bounds(**bounds[1])}

    confidence = Confidence(**interval(0.9), history_hours=72, others=[Interval(**interval(0.8))])
    predictions = usual.predictions.model_copy(update=values)
    return usual.model_copy(update={"predictions": predictions, "confidence": confidence})


def a_forecast(
    means: Mapping[str, Sequence[float]],
    deviation: float = 1.0,
    station_id: str = "new-york",
    timestamp: datetime = NOON,
    **fields: Any,
) -> StationForecast:
    document = a_normal_prediction(means, deviation, station_id, timestamp).model_dump(mode="json")
    usual: dict[str, Any] = {
        "station_id": station_id,
        "timestamp": timestamp,
        "predictions": document["predictions"],
        "confidence": document["confidence"],
        "is_anomaly": False,
        "observed": {"temperature": 10.0, "humidity": 60.0, "pressure": 1013.0, "wind_speed": 9.0},
        "source": "metar",
    }
    return StationForecast(**{**usual, **fields})


def valid_time(lead: int, timestamp: datetime = NOON) -> datetime:
    return timestamp.replace(minute=0, second=0, microsecond=0) + timedelta(hours=lead)


def dip(lead: int, value: float, usual: float) -> list[float]:
    """A series by lead that has another value at one lead."""
    return [value if one == lead else usual for one in LEADS]
