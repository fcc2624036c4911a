"""Baseline forecasts: persistence and the damped anomaly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import MAX_AGE, DampedAnomaly, newest_anomaly
from weatherglass.forecast.variables import clip_to_limits, model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES


@dataclass(frozen=True)
class ReferenceModel:
    """Climatology and damping of the champion, used for the baseline of all versions."""

    climatology: Climatology
    damping: DampedAnomaly


def persistence(grid: HourGrid, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n, leads, variables): the value of the base hour; NaN where it is missing or outside the grid.

    Args:
        rows: (n,) stations of the grid.
        base: (n,) hour indices of the grid; may lie outside.
    """
    inside = (base >= 0) & (base < grid.values.shape[1])
    last = np.full((len(rows), len(VARIABLES)), np.nan)
    last[inside] = model_variables(grid.values[rows[inside], base[inside]])[:, : len(VARIABLES)]
    return np.repeat(last[:, None, :], len(LEADS), axis=1)


def damped_anomaly(
    grid: HourGrid, rows: npt.NDArray[np.int64], base: npt.NDArray[np.int64], reference: ReferenceModel
) -> npt.NDArray[np.float64]:
    """(n, leads, variables): climatology plus the damped present anomaly; NaN for a station without a climatology.

    Args:
        rows: (n,) stations of the grid.
        base: (n,) hour indices of the grid; may lie outside.
    """
    climatology = reference.climatology
    climatology_rows = climatology.rows([station.station_id for station in grid.stations])
    anomalies = model_variables(grid.values) - climatology.at(climatology_rows, grid.hours)
    at = base[:, None] - np.arange(MAX_AGE + 1)
    past = anomalies[rows[:, None], np.clip(at, 0, anomalies.shape[1] - 1)][..., : len(VARIABLES)]
    past[(at < 0) | (at >= anomalies.shape[1])] = np.nan
    present, age = newest_anomaly(past)
    case_rows = climatology_rows[rows]
    damped = reference.damping.damp(np.maximum(case_rows, 0), present, age)
    valid = grid.hours_at(base)
    normal = np.stack([climatology.at_pairs(case_rows, valid + lead)[:, : len(VARIABLES)] for lead in LEADS], axis=1)
    return clip_to_limits(normal.astype(np.float64) + damped)
