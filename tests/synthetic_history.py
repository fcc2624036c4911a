"""A synthetic climate with known properties: annual and daily cycles, and weather that moves from west to east."""

from __future__ import annotations

import numpy as np

from weatherglass.history.grid import HourGrid
from weatherglass.stations import Network, Station

DAMPING = 0.97
"""Hourly autocorrelation of the weather."""
CROSSING_HOURS = 6
"""Delay with which the weather of a station reaches the next one, 450 km to its east."""


def stations(count: int) -> tuple[Station, ...]:
    """Stations along 45° N, 450 km apart, from west to east."""
    step = 450 / (111.2 * np.cos(np.deg2rad(45)))
    return tuple(
        Station(f"s{i}", f"S{i}", "Nowhere", 45.0, -90.0 + i * step, 100.0, "UTC", frozenset({Network.KAGGLE}))
        for i in range(count)
    )


def climate(count: int, hours: np.ndarray) -> np.ndarray:
    """Climatological values (stations, hours, 5), with terms that a harmonic climatology can represent exactly."""
    at = hours.astype("datetime64[h]").astype(np.int64)
    year, day = 2 * np.pi * at / (365.2425 * 24), 2 * np.pi * (at % 24) / 24
    values = np.empty((count, len(at), 5))
    values[..., 0] = 10 - 8 * np.cos(year) - 4 * np.cos(day)
    values[..., 1] = 60 + 12 * np.cos(day)
    values[..., 2] = 1005 + 2 * np.cos(year)
    values[..., 3] = 3 + np.cos(day)
    values[..., 4] = 1.0
    return values + np.arange(count)[:, None, None] * np.array([0.5, 1.0, -2.0, 0.2, 0.1])


def history(count: int = 3, days: int = 150, seed: int = 7, start: str = "2014-01-01T00") -> HourGrid:
    """Climate plus AR(1) weather that reaches station i `CROSSING_HOURS` x i hours after station 0."""
    rng = np.random.default_rng(seed)
    length = days * 24 + CROSSING_HOURS * count
    shocks = rng.normal(size=(length, 5)) * np.sqrt(1 - DAMPING**2)
    weather = np.empty_like(shocks)
    weather[0] = rng.normal(size=5)
    for hour in range(1, length):
        weather[hour] = DAMPING * weather[hour - 1] + shocks[hour]
    origin = np.datetime64(start, "h")
    hours = origin + np.arange(days * 24)
    values = climate(count, hours)
    for station in range(count):
        delay = CROSSING_HOURS * station
        local = weather[CROSSING_HOURS * count - delay : CROSSING_HOURS * count - delay + days * 24]
        values[station] += local * np.array([4.0, 8.0, 6.0, 1.5, 1.5]) + rng.normal(size=local.shape) * 0.05
    values[..., 1] = np.clip(values[..., 1], 0, 100)
    speed = np.hypot(values[..., 3:4], values[..., 4:5])
    return HourGrid(stations(count), origin, np.concatenate([values, speed], axis=-1).astype(np.float32))
