"""Synthetic networks with guidance whose error is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weatherglass.guidance.daily_series import DailySeries
from weatherglass.stations import bundled_stations

FIRST_DAY = np.datetime64("2024-01-10")


def network(
    days: int = 80, stations: int = 12, models: int = 2, seed: int = 1, bias: float = 3.0, delay: int = 1
) -> DailySeries:
    """Each station has its own bias; on each day all stations share a part of the error."""
    rng = np.random.default_rng(seed)
    template = next(iter(bundled_stations().values()))
    places = tuple(
        replace(
            template,
            station_id=f"s{at}",
            latitude=45 + rng.uniform(0, 3),
            longitude=7 + rng.uniform(0, 3),
            elevation=float(rng.uniform(0, 1500)) if at else None,
        )
        for at in range(stations)
    )
    truth = 10 + np.cumsum(rng.normal(0, 2, days))[:, None] * 0.3 + rng.normal(0, 1, (days, stations))
    error = rng.normal(0, bias, stations) + rng.normal(0, 0.7, days)[:, None] + rng.normal(0, 0.7, (days, stations))
    guidance = truth[:, :, None] - error[:, :, None] + rng.normal(0, 0.3, (days, stations, models))
    observed = np.where(rng.uniform(size=truth.shape) < 0.1, np.nan, truth)
    return DailySeries(FIRST_DAY, places, guidance, observed, delay)
