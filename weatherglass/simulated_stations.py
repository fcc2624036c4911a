"""The stations of the simulator: a network of any size in a region of 15 by 7 degrees."""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi
from random import Random

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
    rng = Random(seed)  # noqa: S311 (no secret)
    phases = [rng.random() for _ in HILLS]
    (south, top), (west, right) = REGION
    stations = []
    for number in range(1, count + 1):
        north, east, rough = rng.random(), rng.random(), rng.random()
        waves = [cos(2 * pi * (x * east + y * north + phase)) for (x, y), phase in zip(HILLS, phases, strict=True)]
        height = min(max(sum(waves) / len(HILLS) + 0.5 * rough, 0.0), 1.0)
        stations.append(
            Station(
                station_id=f"{PREFIX}{number:05}",
                name=f"Simulated station {number}",
                country="",
                latitude=round(south + (top - south) * north, 4),
                longitude=round(west + (right - west) * east, 4),
                elevation=round(5 + 895 * height**2, 0),
                timezone="UTC",
                networks=frozenset(),
            )
        )
    return tuple(stations)
