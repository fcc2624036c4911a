"""Kernel-weighted means of the neighbours' anomalies, since upstream weather reaches a station hours later.

Each kernel weights a neighbour by its distance and direction: eight directions at about 450 and 900 km, and one kernel
for nearby stations in any direction. Missing neighbours are left out of the weighted mean; if the remaining weight is
below `MIN_WEIGHT`, the mean is NaN.
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
"""Minimum total weight of a kernel mean; a station in the middle of a kernel has weight 1."""

EARTH_RADIUS_KM = 6371.0


def distances(stations: Sequence[Station]) -> npt.NDArray[np.float64]:
    """Return great-circle distances (n, n) in km by the haversine formula; NaN if coordinates are unknown."""
    latitude, other, east = _angles(stations)
    haversine = np.sin((other - latitude) / 2) ** 2 + np.cos(latitude) * np.cos(other) * np.sin(east / 2) ** 2
    kilometres = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))
    np.fill_diagonal(kilometres, 0.0)
    return np.asarray(kilometres)


def _angles(stations: Sequence[Station]) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Return latitudes (n, 1) and (1, n) and differences of longitude (n, n) towards the second axis, radians."""
    latitude = np.deg2rad([station.latitude for station in stations])
    longitude = np.deg2rad([station.longitude for station in stations])
    return latitude[:, None], latitude[None, :], longitude[None, :] - longitude[:, None]


def neighbour_kernels(stations: Sequence[Station]) -> npt.NDArray[np.float32]:
    """Return weights (kernels, stations, stations) of the stations of the last axis for those of the middle axis.

    A station has weight 0 for itself. A station with unknown coordinates (NaN) has weight 0 for all, and no neighbours.
    """
    latitude, other, east = _angles(stations)
    distance = distances(stations)
    bearing = np.arctan2(
        np.sin(east) * np.cos(other),
        np.cos(latitude) * np.sin(other) - np.sin(latitude) * np.cos(other) * np.cos(east),
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


def neighbour_means(weights: npt.NDArray[np.float32], anomalies: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return kernel means (n, kernels, k) from weights (kernels, n, stations) and anomalies (stations, k)."""
    known = np.isfinite(anomalies)
    flat = weights.reshape(-1, weights.shape[2])
    total = flat @ known.astype(np.float32)
    mean = (flat @ np.where(known, anomalies, 0)) / np.maximum(total, MIN_WEIGHT)
    mean[total < MIN_WEIGHT] = np.nan
    return np.ascontiguousarray(mean.reshape(weights.shape[0], weights.shape[1], -1).transpose(1, 0, 2))
