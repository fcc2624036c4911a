"""Fills a store with plausible data, using the functions with which sink, verification and monitoring write it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, insert

from weatherglass.guidance_record import Guidance, GuidanceValues, RunTime
from weatherglass.record_headers import Origin
from weatherglass.records import (
    LEADS,
    VARIABLES,
    Anomaly,
    Bounds,
    Confidence,
    Method,
    Observation,
    Prediction,
    Predictions,
    Quality,
    iso,
)
from weatherglass.stations import Station
from weatherglass.store import (
    alerts,
    benchmark_results,
    guidance,
    observations,
    predictions,
    promotions,
    weather_alerts,
)
from weatherglass.store.benchmark_results import BenchmarkResult
from weatherglass.store.promotions import Action, Promotion
from weatherglass.store.schema import drift, guidance_verification, verification, verification_runs
from weatherglass.store.weather_alerts import EndReason

STEP = timedelta(minutes=15)
SPREAD = {"temperature": 0.45, "humidity": 2.2, "pressure": 0.3, "wind_speed": 0.4}
"""Half-width of the interval at a lead of one hour; it grows with the square root of the lead."""
LIMITS = {"humidity": (0, 100), "wind_speed": (0, np.inf)}
MACHINE = {"cpu": "Model 1", "cores": "2"}
CHECKS = ("range", "step", "flat_line", "forecast_residual", "isolation_forest")


class Weather:
    """Deterministic weather of a station: a daily cycle and a few slow waves."""

    def __init__(self, station: Station):
        self.station = station
        rng = np.random.default_rng(sum(map(ord, station.name)))
        self.periods, self.phases = rng.uniform(15, 80, 5), rng.uniform(0, 2 * math.pi, 5)
        self.base = 24 - 0.45 * abs(station.latitude) + rng.normal(0, 1.5)
        self.pressure = 1013.25 * (1 - 2.25577e-5 * (station.elevation or 0)) ** 5.25588

    def at(self, time: datetime) -> dict[str, float]:
        hour = time.timestamp() / 3600
        waves = np.sin(2 * math.pi * hour / self.periods + self.phases)
        day = math.cos(2 * math.pi * (hour + self.station.longitude / 15 - 15) / 24)
        wobble = math.sin(hour * 7.3 + self.phases[0]) * 0.12
        return {
            "temperature": round(self.base + 4.2 * day + 2.4 * waves[0] + 1.2 * waves[1] + wobble, 1),
            "humidity": round(float(np.clip(66 - 13 * day + 12 * waves[2] + 3 * wobble, 15, 100)), 0),
            "pressure": round(self.pressure + 7 * waves[3] + 2 * waves[1], 1),
            "wind_speed": round(max(0.2, 4.6 + 2.1 * waves[4] + 1.2 * waves[2] + 2 * wobble), 1),
            "wind_direction": round((200 + 70 * waves[3] + 25 * waves[0] + 60 * wobble) % 360, 0),
        }


def observation(weather: Weather, time: datetime, fault: float = 0.0) -> Observation:
    values = weather.at(time)
    return Observation(
        station_id=weather.station.station_id,
        timestamp=time,
        **{**values, "temperature": values["temperature"] + fault},
    )


def prediction(weather: Weather, time: datetime, fault: float = 0.0, version: str = "7") -> Prediction:
    """A prediction: the future weather with an error that grows with the lead."""
    hour = time.replace(minute=0, second=0, microsecond=0)
    valid_times = [hour + timedelta(hours=lead) for lead in LEADS]
    future = [weather.at(valid_time) for valid_time in valid_times]
    bias = math.sin(hour.timestamp() / 9000 + weather.phases[1])
    values, lower, upper = {}, {}, {}
    for name in VARIABLES:
        half_widths = 1.645 * SPREAD[name] * np.sqrt(LEADS)
        forecast = np.array([at_time[name] for at_time in future]) + 0.45 * bias * half_widths
        least, greatest = LIMITS.get(name, (-np.inf, np.inf))
        values[name], lower[name], upper[name] = (
            np.clip(bound, least, greatest).round(2).tolist()
            for bound in (forecast, forecast - half_widths, forecast + half_widths)
        )
    failed = {"step", "forecast_residual"} if fault else set()
    reasons = (
        [
            f"temperature {'rose' if fault > 0 else 'fell'} by {abs(fault):.1f} °C in 15 min",
            f"temperature is {abs(fault):.1f} °C {'above' if fault > 0 else 'below'} its forecast",
        ]
        if fault
        else []
    )
    checks = {name: Quality.FAILED if name in failed else Quality.OK for name in CHECKS}
    return Prediction(
        station_id=weather.station.station_id,
        timestamp=time,
        predictions=Predictions(valid_times=valid_times, **values, model_version=version, method=Method.MODEL),
        anomaly=Anomaly(
            is_anomaly=bool(fault), score=0.96 if fault else 0.12, checks=checks, reasons=reasons, model_version="3"
        ),
        confidence=Confidence(level=0.9, lower=Bounds(**lower), upper=Bounds(**upper), history_hours=72),
    )


def fill(
    store: Engine,
    stations: Sequence[Station],
    now: datetime,
    hours: float = 80,
    issue_hours: float = 30,
    source: Origin = Origin.REPLAY,
) -> None:
    """Save observations of the last `hours` every 15 minutes and predictions for the last `issue_hours`, some faulty.

    `now` is the time of the newest observation.
    """
    for number, station in enumerate(stations):
        weather = Weather(station)
        for step in range(int(hours * 4)):
            time = now - step * STEP
            fault = 9.0 if (step + 7 * number) % 61 == 37 else -8.0 if number == 1 and step == 0 else 0.0
            stored = time + timedelta(seconds=2)
            has_prediction = step < issue_hours * 4
            with store.begin() as connection:
                observations.save(connection, [observation(weather, time, fault)], stored, source)
                if has_prediction:
                    latency = timedelta(seconds=1 + 0.6 * abs(math.sin(step + number)))
                    predictions.save(connection, [prediction(weather, time, fault)], stored + latency, source)


def guidance_run(weather: Weather, time: datetime, **changed: Any) -> Guidance:
    """A run received at a time: the future weather, 1.5 units too high."""
    first = time.replace(minute=0, second=0, microsecond=0)
    valid_times = [first + timedelta(hours=hour) for hour in range(48)]
    future = [weather.at(valid_time) for valid_time in valid_times]
    lists = {
        name: [min(values[name] + 1.5, 100 if name == "humidity" else 2000) for values in future] for name in VARIABLES
    }
    usual = {
        "station_id": weather.station.station_id,
        "model": "best_match",
        "run": time,
        "run_time": RunTime.FETCH,
        "fetched_at": time,
        "latitude": weather.station.latitude,
        "longitude": weather.station.longitude,
        "elevation": weather.station.elevation,
        "simulated": True,
        "observed_only_by_model": False,
        "values": GuidanceValues(valid_times=valid_times, **lists, wind_direction=[None] * 48),
    }
    return Guidance.model_validate({**usual, **changed})


def save_guidance(connection: Connection, stations: Sequence[Station], now: datetime) -> None:
    """Save a run of each station received an hour ago, and one of the day before."""
    runs = [guidance_run(Weather(station), now - timedelta(hours=hours)) for station in stations for hours in (1, 26)]
    guidance.save(connection, runs, now, Origin.REPLAY)


def score_row(
    version: str, hindcast: bool, day: date, station_id: str, variable: str, lead: int, mae: float
) -> dict[str, object]:
    """A row of the table `verification`; `mae` is that of one hour ahead."""
    error = mae * math.sqrt(lead)
    return {
        "version": version,
        "hindcast": hindcast,
        "day": day,
        "station_id": station_id,
        "variable": variable,
        "lead": lead,
        "n": 24,
        "mae": error * (1 + 0.1 * math.sin(day.toordinal())),
        "rmse": 1.3 * error,
        "bias": 0.05 * mae * math.sin(lead),
        "n_mape": 0 if variable == "temperature" else 24,
        "mape": None if variable == "temperature" else 4.0,
        "crps": 0.7 * error,
        "coverage_80": 0.79 + 0.01 * math.sin(lead),
        "coverage_90": 0.9 + 0.01 * math.cos(lead),
        "n_baselines": 23,
        "mae_compared": error * (1 + 0.1 * math.sin(day.toordinal())),
        "mae_persistence": error * 2.4,
        "mae_damped": error * 1.5,
    }


def guidance_row(
    version: str, day: date, station_id: str, variable: str, lead: int, mae: float, simulated: bool = True
) -> dict[str, object]:
    """A row of the table `guidance_verification`; `mae` is that of the forecast one hour ahead."""
    error = mae * math.sqrt(lead)
    return {
        "version": version,
        "day": day,
        "station_id": station_id,
        "model": "best_match",
        "simulated": simulated,
        "variable": variable,
        "lead": lead,
        "n": 23,
        "mae_compared": error,
        "mae_guidance": mae * (2 + 0.1 * lead),
    }


def save_benchmarks(connection: Connection, now: datetime) -> None:
    """Save two runs of the rates, and one of the baseline without a single prediction."""
    for days, slower in ((3, 1.4), (1, 1.0)):
        at = now - timedelta(days=days)
        for rate in (10.0, 50.0, 100.0):
            figures = {
                "latency_ms": {"p50": 8 * rate * slower, "p95": 12 * rate * slower, "p99": 15 * rate * slower},
                "predictions_per_second": rate * 0.9,
                "cores": {"stream_features": rate / 100, "kafka": 0.1, "total": rate / 100 + 0.1},
                "memory_mb": {"total": 2300.0},
            }
            result = BenchmarkResult(f"{at:%Y%m%dT%H%M%SZ}-rates", at, "rates", 20, rate, 1, figures, MACHINE)
            benchmark_results.save(connection, result)
    failed = {"latency_ms": {"count": 0}, "predictions_per_second": 0.0, "cores": {"kafka": 0.1, "total": 0.1}}
    benchmark_results.save(
        connection, BenchmarkResult(f"{now:%Y%m%dT%H%M%SZ}-baseline", now, "baseline", 20, 20.0, 1, failed, MACHINE)
    )


def save_monitoring_data(connection: Connection, stations: Sequence[Station], now: datetime) -> None:
    """Save verification scores, promotions, drift and alerts."""
    mean_errors = {"temperature": 0.42, "humidity": 2.6, "pressure": 0.35, "wind_speed": 0.55}
    rows = [
        score_row(
            version, version == "6", (now - timedelta(days=day)).date(), station.station_id, name, lead, mae * worse
        )
        for version, worse in (("7", 1.0), ("6", 1.12))
        for day in range(5)
        for station in stations[:4]
        for name, mae in mean_errors.items()
        for lead in LEADS
    ]
    connection.execute(insert(verification), rows)
    compared = [
        guidance_row("7-simulated-guidance", (now - timedelta(days=day)).date(), station.station_id, name, lead, mae)
        for day in range(5)
        for station in stations[:4]
        for name, mae in mean_errors.items()
        for lead in LEADS
    ]
    connection.execute(insert(guidance_verification), compared)
    connection.execute(insert(verification_runs), [{"at": now, "through": now, "days": 5, "pairs": 9000, "seconds": 2}])
    for days, action, before, after, why in (
        (3, Action.PROMOTE, None, "6", "First model trained on this history"),
        (2, Action.CHALLENGE, None, "7", "Trained on the full history"),
        (
            1,
            Action.PROMOTE,
            "6",
            "7",
            "7 % lower error over 96 hours (p = 0.004); 90 % interval coverage: 90 %",
        ),
    ):
        at = now - timedelta(days=days)
        promotions.append(connection, Promotion(at, "forecaster", action, before, after, "train_models", why))
    features = ("temperature", "pressure", "humidity", "wind_speed", "dew_point", "pressure_lag_24", "neighbours_west")
    sizes = (0.31, 0.14, 0.08, 0.06, 0.05, 0.03, 0.02)
    connection.execute(
        insert(drift),
        [
            {
                "version": "7",
                "day": now.date(),
                "feature": feature,
                "psi": psi,
                "ks": psi / 2,
                "n": 2000,
                "psi_limit": 0.25,
            }
            for feature, psi in zip(features, sizes, strict=True)
        ],
    )
    alerts.raise_alert(
        connection,
        alerts.Alert(
            "input_drift",
            "version 7, temperature",
            alerts.Severity.WARNING,
            "The distribution of temperature differs from the training data: PSI 0.31 (limit 0.25). "
            "Retrain the model if the drift persists.",
            {"psi": 0.31, "psi_limit": 0.25},
        ),
        now - timedelta(hours=5),
    )
    alerts.raise_alert(
        connection,
        alerts.Alert(
            "station_silent", stations[0].station_id, alerts.Severity.CRITICAL, "No observation for 3 hours.", {}
        ),
        now - timedelta(hours=20),
    )
    alerts.resolve(connection, "station_silent", stations[0].station_id, now - timedelta(hours=17))


def save_weather_alerts(connection: Connection, station_id: str, now: datetime) -> int:
    """A rule about frost with an open and an ended alert of a station; returns the id of the rule."""
    rule = {
        "kind": "forecast",
        "name": "Frost in the orchard",
        "stations": [station_id, "nowhere"],
        "variable": "temperature",
        "condition": "below",
        "threshold": 0,
        "unit": "°C",
        "probability": 0.5,
        "quiet_hours": {"start": "22:00", "end": "06:00", "time_zone": "America/New_York"},
    }
    rule_id = weather_alerts.add_rule(connection, rule, "ann", now)
    weather_alerts.save_evaluation(connection, rule_id, now, {"nowhere": "no_forecast"})
    details = {
        **{name: rule[name] for name in ("kind", "variable", "condition", "threshold", "unit")},
        "probability": 0.723,
        "valid_time": iso(now + timedelta(hours=9)),
        "first_time": iso(now + timedelta(hours=7)),
        "until": iso(now + timedelta(hours=24)),
        "value": -1.24,
        "lower": -3.6,
        "upper": 1.1,
        "interval_level": 0.9,
        "forecast_of": iso(now),
        "source": "replay",
    }
    for hours in (30, 2):
        time = now - timedelta(hours=hours)
        weather_alerts.open_alert(connection, rule_id, str(rule["name"]), station_id, details, time)
        if hours > 24:
            ((_, alert),) = weather_alerts.open_alerts(connection).items()
            weather_alerts.end(connection, alert.id, EndReason.CLEARED, time + timedelta(hours=3))
    return rule_id
