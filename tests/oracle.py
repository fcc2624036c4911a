"""Expected window features of observations, computed with DuckDB and `oracle.sql`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

VARIABLES = ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")
RESOLUTION = {"temperature": 0.1, "humidity": 1.0, "pressure": 0.1, "wind_speed": 0.5}

Features = dict[tuple[str, datetime], dict[str, Any]]


CHECKS = ("range", "climate", "dew_point", "pressure_elevation")


def expected_features(
    observations: Iterable[Mapping[str, Any]],
    elevations: Mapping[str, float] | None = None,
    climate: Iterable[tuple[str, int, str, float, float]] = (),
    latitudes: Mapping[str, float] | None = None,
) -> Features:
    """`aggregated_features` of every window, by station and window end (UTC).

    Args:
        observations: dicts as on `weather-raw`; `timestamp` is a datetime or a string. Of two with the same station and
            time, the one with the higher `offset` counts, or without offsets the later one in the list.
        elevations: station id -> elevation, m.
        climate: station id, month, variable, lowest and highest value.
        latitudes: station id -> latitude, degrees north, of stations with an elevation.
    """
    rows = [
        {"station_id": o["station_id"], "ts": time_of(o["timestamp"]), "position": o.get("offset", i)}
        | {name: o.get(name) for name in VARIABLES}
        for i, o in enumerate(observations)
    ]
    if not rows:
        return {}
    raw = pd.DataFrame(rows).astype(dict.fromkeys(VARIABLES, "float64"))
    raw["ts"] = raw["ts"].dt.tz_localize(None).astype("datetime64[us]")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("frame", raw)
        connection.execute("create table raw as select * from frame")
        connection.execute("create table stations (station_id varchar, elevation double, latitude double)")
        for name, elevation in (elevations or {}).items():
            row = (name, elevation, (latitudes or {}).get(name))
            connection.execute("insert into stations values (?, ?, ?)", row)
        connection.execute("create table climate (station_id text, month int, variable text, low double, high double)")
        for row in climate:
            connection.execute("insert into climate values (?, ?, ?, ?, ?)", row)
        cursor = connection.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
        names = [column[0] for column in cursor.description]
        rows_of_windows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    features: Features = {}
    for row in rows_of_windows:
        key = (row["station_id"], row["window_end"].replace(tzinfo=UTC))
        _add_variable(features.setdefault(key, {"quality": {}}), row)
    for window in features.values():
        temperature, humidity = window["temperature"]["mean"], window["humidity"]["mean"]
        window["dew_point"] = _dew_point(temperature, humidity)
        window["apparent_temperature"] = _apparent(temperature, humidity, window["wind_speed"]["mean"])
        plausible = window["checks"]["pressure_elevation"] == "ok"
        elevation = window.pop("elevation")
        window["sea_level_pressure"] = (
            _sea_level(window["pressure"]["mean"], temperature, humidity, elevation) if plausible else None
        )
    return features


def differences(actual: Any, expected: Any, path: str = "") -> list[str]:
    """The values that differ by more than rounding errors; empty if there are none."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        missing = [f"{path}.{key}: only in one of them" for key in actual.keys() ^ expected.keys()]
        return missing + [
            line
            for key in sorted(actual.keys() & expected.keys())
            for line in differences(actual[key], expected[key], f"{path}.{key}")
        ]
    if isinstance(expected, float) and isinstance(actual, float | int):
        if path.endswith("wind.direction"):
            close = abs((actual - expected + 180) % 360 - 180) < 1e-4
        elif path.endswith("rate_per_hour"):
            close = math.isclose(actual, expected, rel_tol=1e-6, abs_tol=1e-6)
        else:
            close = math.isclose(actual, expected, rel_tol=1e-9, abs_tol=1e-7)
        return [] if close else [f"{path}: {actual!r}, expected {expected!r}"]
    if path.endswith("last_observation"):
        actual, expected = time_of(actual), time_of(expected)
        expected = expected.replace(microsecond=expected.microsecond // 1000 * 1000)
        actual = actual.replace(microsecond=actual.microsecond // 1000 * 1000)
    return [] if actual == expected else [f"{path}: {actual!r}, expected {expected!r}"]


def time_of(time: datetime | str) -> datetime:
    """A time as a datetime in UTC."""
    return (datetime.fromisoformat(time) if isinstance(time, str) else time).astimezone(UTC)


def _add_variable(window: dict[str, Any], row: dict[str, Any]) -> None:
    """Add a row of the query, that is one variable, to the features of its window."""
    variable, n = row["variable"], row["n"]
    window["count"], window["last_observation"] = row["observations"], row["last_observation"].replace(tzinfo=UTC)
    window["quality"][variable] = "failed" if row["failed"] else "ok" if n else "not_checked"
    u, v, speed = row["u"], row["v"], row["speed"]
    moving = u is not None and math.hypot(u, v) > 1e-6
    window["wind"] = {
        "u": u,
        "v": v,
        "direction": math.degrees(math.atan2(-u, -v)) % 360 if moving else None,
        "steadiness": min(1.0, math.hypot(u, v) / speed) if speed else None,
        "count": row["winds"],
    }
    window["checks"] = {
        name: "failed" if row[f"{name}_failed"] else "ok" if row[f"{name}_ok"] else "not_checked" for name in CHECKS
    }
    window["elevation"] = row["elevation"]
    if variable == "wind_direction":
        return
    window[variable] = {
        **{name: row[name] for name in ("mean", "min", "max", "last")},
        "std": row["std"] if n > 1 else None,
        "rate_per_hour": row["slope"],
        "trend": _trend(variable, row),
        "count": n,
    }


def _trend(variable: str, row: dict[str, Any]) -> str | None:
    slope, error = row["slope"], row["slope_error"]
    if slope is None:
        return None
    significant = abs(slope) * row["span"] > RESOLUTION[variable] * 1.000001
    if error is not None:
        significant = significant and abs(slope) > 2.000002 * error
    return "steady" if not significant else "rising" if slope > 0 else "falling"


def _dew_point(temperature: float | None, humidity: float | None) -> float | None:
    if temperature is None or not humidity:
        return None
    vapour = humidity / 100 * 6.112 * math.exp(17.62 * temperature / (243.12 + temperature))
    return 243.12 * math.log(vapour / 6.112) / (17.62 - math.log(vapour / 6.112))


def _apparent(temperature: float | None, humidity: float | None, wind: float | None) -> float | None:
    if temperature is None or humidity is None or wind is None:
        return None
    vapour = 6.105 * humidity / 100 * math.exp(17.27 * temperature / (237.7 + temperature))
    return temperature + 0.33 * vapour - 0.7 * wind - 4.0


def _sea_level(
    pressure: float | None, temperature: float | None, humidity: float | None, elevation: float
) -> float | None:
    """Exponential form of the hypsometric equation."""
    if pressure is None or temperature is None or humidity is None or not -430 <= elevation <= 750:
        return None
    vapour = humidity / 100 * 6.112 * math.exp(17.62 * temperature / (243.12 + temperature))
    virtual = temperature + 273.15 + 0.0065 * elevation / 2 + 0.12 * vapour
    return pressure * math.exp(0.0148275 * math.log(10) * elevation / virtual)
