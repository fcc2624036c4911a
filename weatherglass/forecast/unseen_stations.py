"""Stations that no training has seen: what is usual there is borrowed from the known stations around.

The shape of the year and of the day is that of the nearest known stations; the level is corrected by the station's own
past, as far as that outweighs the weather of the moment (`design.cases`).
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

FARTHEST_KM = 1500.0
"""A station farther than this from all known ones stays unknown."""
NEAR_KM = 300.0
"""By this distance a known station's say falls to a third."""

_HOURS = {"pressure": 0.0, "wind_speed": 40.0, "wind_u": 40.0, "wind_v": 40.0, "humidity": 60.0}
LEVEL_HOURS = np.array([_HOURS.get(channel, 80.0) for channel in MODEL_VARIABLES])
"""Hours of own past that weigh as much as the borrowed level. The pressure's depends on the height: it is all own."""


def introduce(
    climatology: Climatology, damping: DampedAnomaly, known: Sequence[Station], stations: Sequence[Station]
) -> tuple[Climatology, DampedAnomaly]:
    """Both with a row more for each of `stations` that is new and not too far from the known ones."""
    ids = set(climatology.station_ids)
    new = [s for s in stations if s.station_id not in ids and np.isfinite([s.latitude, s.longitude]).all()]
    if not new:
        return climatology, damping
    apart = distances([*new, *known])[: len(new), len(new) :]
    names, coefficients, rho = [], [], []
    for station, kilometres in zip(new, apart, strict=True):
        usable = np.isfinite(kilometres) & np.isfinite(climatology.coefficients[:, 0, 0])
        if not (usable & (kilometres <= FARTHEST_KM)).any():
            continue
        weight = np.where(usable, np.exp(-(kilometres - kilometres[usable].min()) / NEAR_KM), 0.0)
        names.append(station.station_id)
        coefficients.append(_mean(climatology.coefficients, weight))
        rho.append(_mean(damping.rho, weight))
    if not names:
        return climatology, damping
    return (
        Climatology((*climatology.station_ids, *names), np.concatenate([climatology.coefficients, coefficients])),
        DampedAnomaly(np.concatenate([damping.rho, rho])),
    )


def own_level(past: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """How far (n, channels) a station lies off the borrowed level, from its past anomalies (n, hours, channels)."""
    known = np.isfinite(past)
    count = known.sum(axis=1)
    mean = np.where(known, past, 0).sum(axis=1) / np.maximum(count, 1)
    return np.asarray(mean * count / np.maximum(count + LEVEL_HOURS, 1), dtype=np.float32)


def _mean(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weighted mean over the first axis of what is known; NaN where nothing is."""
    given = weight.reshape(-1, *[1] * (values.ndim - 1)) * np.isfinite(values)
    total = given.sum(axis=0)
    return np.where(total > 0, (given * np.nan_to_num(values)).sum(axis=0) / np.maximum(total, 1e-12), np.nan)
