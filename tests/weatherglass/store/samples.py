"""Sample records for tests of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from weatherglass.guidance_record import Guidance, GuidanceValues, RunTime
from weatherglass.records import (
    LEADS,
    VARIABLES,
    AggregatedFeatures,
    Anomaly,
    Bounds,
    Confidence,
    Method,
    Observation,
    Prediction,
    Predictions,
    Quality,
    Statistics,
    Wind,
    WindowFeatures,
)

NOON = datetime(2026, 1, 5, 12, 15, tzinfo=UTC)


def an_observation(station_id: str = "new-york", timestamp: datetime = NOON, **values: Any) -> Observation:
    usual = {"temperature": 3.2, "humidity": 81.0, "pressure": 1013.6, "wind_speed": 4.1, "wind_direction": 220.0}
    return Observation(station_id=station_id, timestamp=timestamp, **{**usual, **values})


def a_prediction(
    station_id: str = "new-york",
    timestamp: datetime = NOON,
    failed: tuple[str, ...] = (),
    version: str = "7",
    method: Method = Method.MODEL,
    temperature: float = 3.2,
) -> Prediction:
    """A prediction of rising temperature, for a reading that failed the checks named in `failed`."""
    hour = timestamp.replace(minute=0, second=0, microsecond=0)

    def bounds(shift: float) -> Bounds:
        return Bounds(
            temperature=[temperature + 0.1 * lead + shift for lead in LEADS],
            humidity=[80.0 + shift for _ in LEADS],
            pressure=[1013.0 + shift for _ in LEADS],
            wind_speed=[4.0 + shift for _ in LEADS],
        )

    checks = {name: Quality.FAILED if name in failed else Quality.OK for name in ("range", "step", "flat_line")}
    return Prediction(
        station_id=station_id,
        timestamp=timestamp,
        predictions=Predictions(
            valid_times=[hour + timedelta(hours=lead) for lead in LEADS],
            **bounds(0).model_dump(),
            model_version=version,
            method=method,
        ),
        anomaly=Anomaly(
            is_anomaly=bool(failed),
            score=0.9 if failed else 0.1,
            checks=checks,
            reasons=[f"{name} failed" for name in failed],
            model_version="3",
        ),
        confidence=Confidence(level=0.9, lower=bounds(-1), upper=bounds(1), history_hours=72),
    )


def a_guidance(
    station_id: str = "new-york",
    run: datetime = NOON,
    model: str = "best_match",
    temperature: float = 3.2,
    hours: int = 48,
    **fields: Any,
) -> Guidance:
    """A run from the hour of its reception on, with rising temperature and without humidity in the first hour."""
    first = run.replace(minute=0, second=0, microsecond=0)
    values = GuidanceValues(
        valid_times=[first + timedelta(hours=number) for number in range(hours)],
        temperature=[round(temperature + 0.1 * number, 1) for number in range(hours)],
        humidity=[None, *[80.0] * (hours - 1)],
        pressure=[1013.0] * hours,
        wind_speed=[4.0] * hours,
        wind_direction=[220.0] * hours,
    )
    usual: dict[str, Any] = {
        "run_time": RunTime.FETCH,
        "fetched_at": run,
        "latitude": 40.7143,
        "longitude": -74.006,
        "elevation": 10.0,
        "simulated": False,
        "observed_only_by_model": False,
        "values": values,
    }
    return Guidance(station_id=station_id, model=model, run=run, **{**usual, **fields})


def a_window(
    timestamp: datetime = NOON,
    station_id: str = "new-york",
    ends_after: timedelta = timedelta(minutes=1),
    temperature: float = 3.2,
) -> WindowFeatures:
    """A window with one reading; a leading window if it ends within a minute after the reading."""
    end = timestamp + ends_after

    def one(value: float) -> Statistics:
        return Statistics(mean=value, std=None, min=value, max=value, last=value, rate_per_hour=None, trend=None)

    return WindowFeatures(
        station_id=station_id,
        window_start=end - timedelta(minutes=5),
        window_end=end,
        aggregated_features=AggregatedFeatures(
            count=1,
            last_observation=timestamp,
            temperature=one(temperature),
            humidity=one(81.0),
            pressure=one(1013.6),
            wind_speed=one(4.1),
            wind=Wind(u=2.6, v=3.1, direction=220.0, steadiness=1.0),
            dew_point=0.2,
            quality=dict.fromkeys(VARIABLES, Quality.OK),
        ),
    )
