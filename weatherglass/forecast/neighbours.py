"""What the stations around feel: weather moves, and what is upstream now arrives later.

A neighbour counts by a kernel of its distance and direction: in eight directions at about 450 and 900 km, and nearby
in any direction. Missing neighbours are left out of the weighted mean; with too little weight there is no value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.stations import Station

RINGS_KM = (450.0, 900.0)
DIRECTIONS = 8
NEAR_KM = 150.0
KERNELS = len(RINGS_KM) * DIRECTIONS + 1
MIN_WEIGHT = 0.1
"""Less than this (1 is one station in the middle of a kernel) is as good as nobody there."""

EARTH_RADIUS_KM = 6371.0


def distances(stations: Sequence[Station]) -> npt.NDArray[np.float64]:
    """Kilometres (n, n) along the great circle, by the haversine formula; NaN where a place is not known."""
    north, other, east = _angles(stations)
    haversine = np.sin((other - north) / 2) ** 2 + np.cos(north) * np.cos(other) * np.sin(east / 2) ** 2
    made = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))
    np.fill_diagonal(made, 0.0)
    return np.asarray(made)


def _angles(stations: Sequence[Station]) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    latitude = np.deg2rad([station.latitude for station in stations])
    longitude = np.deg2rad([station.longitude for station in stations])
    return latitude[:, None], latitude[None, :], longitude[None, :] - longitude[:, None]


def kernels(stations: Sequence[Station]) -> npt.NDArray[np.float32]:
    """Weights (kernels, stations, stations): how much the last axis counts for the middle one; nobody for itself.

    A station whose place is not known (NaN) is nobody's neighbour, and has none.
    """
    north, other, east = _angles(stations)
    distance = distances(stations)
    bearing = np.arctan2(
        np.sin(east) * np.cos(other), np.cos(north) * np.sin(other) - np.sin(north) * np.cos(other) * np.cos(east)
    )
    weights = []
    for ring in RINGS_KM:
        radial = np.exp(-0.5 * ((distance - ring) / (ring / 2)) ** 2)
        for k in range(DIRECTIONS):
            weights.append(radial * np.maximum(0, np.cos(bearing - 2 * np.pi * k / DIRECTIONS)) ** 2)
    weights.append(np.exp(-0.5 * (distance / NEAR_KM) ** 2))
    stacked = np.nan_to_num(np.stack(weights).astype(np.float32))
    stacked[:, np.arange(len(stations)), np.arange(len(stations))] = 0
    return stacked


def around(weights: npt.NDArray[np.float32], anomalies: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Kernel means (n, kernels, k) from weights (kernels, n, stations) and anomalies (stations, k)."""
    known = np.isfinite(anomalies)
    flat = weights.reshape(-1, weights.shape[2])
    total = flat @ known.astype(np.float32)
    mean = (flat @ np.where(known, anomalies, 0)) / np.maximum(total, MIN_WEIGHT)
    mean[total < MIN_WEIGHT] = np.nan
    return np.ascontiguousarray(mean.reshape(weights.shape[0], weights.shape[1], -1).transpose(1, 0, 2))
