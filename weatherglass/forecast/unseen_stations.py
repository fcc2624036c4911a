"""Stations that were not in the training data: climatology and damping are borrowed from nearby known stations.

The annual and diurnal cycles are those of the nearest known stations. The level is corrected by the station's own past,
the more the longer it is (`features.case_features`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.neighbours import distances
from weatherglass.forecast.variables import MODEL_VARIABLES
from weatherglass.stations import Station

MAX_DISTANCE_KM = 1500.0
"""Maximum distance to a known station; a station farther away has no climatology."""
DECAY_KM = 300.0
"""Distance at which the weight of a known station has fallen to 1/e."""

_LEVEL_HOURS = {"pressure": 0.0, "wind_speed": 40.0, "wind_u": 40.0, "wind_v": 40.0, "humidity": 60.0}
LEVEL_HOURS = np.array([_LEVEL_HOURS.get(variable, 80.0) for variable in MODEL_VARIABLES])
"""Hours of own past that weigh as much as the borrowed level; 0 for pressure, whose level depends on the elevation."""


def add_unseen_stations(
    climatology: Climatology, damping: DampedAnomaly, known: Sequence[Station], stations: Sequence[Station]
) -> tuple[Climatology, DampedAnomaly]:
    """Return both with one more row for each new station of `stations` that is within `MAX_DISTANCE_KM` of a known one.

    Args:
        known: stations of the climatology, in its order.
    """
    ids = set(climatology.station_ids)
    new = [s for s in stations if s.station_id not in ids and np.isfinite([s.latitude, s.longitude]).all()]
    if not new:
        return climatology, damping
    from_known = distances([*new, *known])[: len(new), len(new) :]
    names, coefficients, rho = [], [], []
    for station, kilometres in zip(new, from_known, strict=True):
        usable = np.isfinite(kilometres) & np.isfinite(climatology.coefficients[:, 0, 0])
        if not (usable & (kilometres <= MAX_DISTANCE_KM)).any():
            continue
        weight = np.where(usable, np.exp(-(kilometres - kilometres[usable].min()) / DECAY_KM), 0.0)
        names.append(station.station_id)
        coefficients.append(_mean(climatology.coefficients, weight))
        rho.append(_mean(damping.rho, weight))
    if not names:
        return climatology, damping
    return (
        Climatology((*climatology.station_ids, *names), np.concatenate([climatology.coefficients, coefficients])),
        DampedAnomaly(np.concatenate([damping.rho, rho])),
    )


def level_offset(past: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the deviations (n, model variables) of stations from the borrowed level.

    Args:
        past: (n, hours, model variables) anomalies from the borrowed climatology.
    """
    known = np.isfinite(past)
    count = known.sum(axis=1)
    mean = np.where(known, past, 0).sum(axis=1) / np.maximum(count, 1)
    return np.asarray(mean * count / np.maximum(count + LEVEL_HOURS, 1), dtype=np.float32)


def _mean(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weighted mean of known values over the first axis; NaN if there are none."""
    weights = weight.reshape(-1, *[1] * (values.ndim - 1)) * np.isfinite(values)
    total = weights.sum(axis=0)
    return np.where(total > 0, (weights * np.nan_to_num(values)).sum(axis=0) / np.maximum(total, 1e-12), np.nan)
