"""What needs no model: persistence, and the damped anomaly, which is the one to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import MAX_AGE, DampedAnomaly, present_anomaly
from weatherglass.forecast.variables import bounded, model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES


@dataclass(frozen=True)
class ReferenceModel:
    """A model's climatology and damping; the champion's, so that all versions are measured with one yardstick."""

    climatology: Climatology
    damping: DampedAnomaly


def persistence(grid: HourGrid, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n, leads, variables): the value of the base hour; NaN where it is missing, or the hour is outside the grid."""
    inside = (base >= 0) & (base < grid.values.shape[1])
    last = np.full((len(rows), len(VARIABLES)), np.nan)
    last[inside] = model_variables(grid.values[rows[inside], base[inside]])[:, : len(VARIABLES)]
    return np.repeat(last[:, None, :], len(LEADS), axis=1)


def damped_anomaly(
    grid: HourGrid, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64], usual: ReferenceModel
) -> npt.NDArray[np.float64]:
    """(n, leads, variables): climatology and what remains of the present anomaly; NaN for a station without one."""
    known = usual.climatology.rows([station.station_id for station in grid.stations])
    anomalies = model_variables(grid.values) - usual.climatology.at(known, grid.hours)
    at = base[:, None] - np.arange(MAX_AGE + 1)
    past = anomalies[rows[:, None], np.clip(at, 0, anomalies.shape[1] - 1)][..., : len(VARIABLES)]
    past[(at < 0) | (at >= anomalies.shape[1])] = np.nan
    present, age = present_anomaly(past)
    where = known[rows]
    left = usual.damping.anomalies(np.maximum(where, 0), present, age)
    valid = grid.start + base
    normal = np.stack([usual.climatology.at_pairs(where, valid + lead)[:, : len(VARIABLES)] for lead in LEADS], axis=1)
    return bounded(normal.astype(np.float64) + left)
