"""The stations of the simulator: a network of any size in a region of 15 by 7 degrees."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from weatherglass.station_table import Station

REGION = ((47.0, 54.0), (4.0, 19.0))
"""Ranges of latitude and longitude, in degrees. Land, hills and a coast like those of Central Europe are assumed."""
MAX_STATIONS = 10_000
PREFIX = "sim-"
HILLS = ((2.0, 3.0), (5.0, 2.0), (9.0, 7.0))
"""Waves of the terrain, in cycles over the region to the east and to the north."""


@lru_cache(maxsize=4)
def simulated_stations(count: int, seed: int) -> tuple[Station, ...]:
    """Stations `sim-00001` and so on; with the same seed, a larger network contains the smaller one.

    Elevations are 5 to 900 m, those of neighbours are similar. The time zone is UTC.

    Raises:
        ValueError: not 1 to 10,000 stations.
    """
    if not 1 <= count <= MAX_STATIONS:
        raise ValueError(f"{count} stations; allowed: 1 to {MAX_STATIONS}")
    rng = np.random.default_rng([seed, 1])
    phases = rng.uniform(0, 2 * np.pi, len(HILLS))
    north, east, rough = rng.random((count, 3)).T
    waves = [np.cos(2 * np.pi * (x * east + y * north) + p) for (x, y), p in zip(HILLS, phases, strict=True)]
    height = np.clip(np.sum(waves, axis=0) / len(HILLS) + 0.5 * rough, 0, 1)
    (south, top), (west, right) = REGION
    return tuple(
        Station(
            station_id=f"{PREFIX}{number:05}",
            name=f"Simulated station {number}",
            country="",
            latitude=round(south + (top - south) * float(y), 4),
            longitude=round(west + (right - west) * float(x), 4),
            elevation=round(5 + 895 * float(z) ** 2, 0),
            timezone="UTC",
            networks=frozenset(),
        )
        for number, (y, x, z) in enumerate(zip(north, east, height, strict=True), 1)
    )
