"""Forecasts of held-out hours beside the truth and every baseline, case by case, so that anything can be summed up."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import features
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.forecaster import LEVELS, Forecaster
from weatherglass.forecast.splits import base_hours
from weatherglass.forecast.variables import clip_to_limits
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES

MODEL = "model"
BASELINES = ("persistence", "seasonal_naive", "climatology", "damped_anomaly")
CHUNK = 1_000


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of n cases; arrays (n, leads, variables) in °C, %, hPa, m/s, NaN where something is missing.

    Attributes:
        stations: (n,) rows of the grid; `station_ids` names the rows.
        base: (n,) `datetime64[h]`, UTC.
        answers: `model` and the baselines.
    """

    station_ids: tuple[str, ...]
    stations: npt.NDArray[np.int64]
    base: npt.NDArray[np.datetime64]
    truth: npt.NDArray[np.float32]
    answers: dict[str, npt.NDArray[np.float32]]
    lower: dict[float, npt.NDArray[np.float32]] = field(default_factory=dict)
    upper: dict[float, npt.NDArray[np.float32]] = field(default_factory=dict)

    def errors(self, who: str) -> npt.NDArray[np.float32]:
        """Absolute errors; NaN unless the truth and the answers of all are known, so that all are compared alike."""
        return np.where(self.comparable(who), np.abs(self.answers[who] - self.truth), np.float32(np.nan))

    def comparable(self, *also: str) -> npt.NDArray[np.bool_]:
        """Where the truth, the model and the baselines are known, and what is named besides."""
        names = {MODEL, *BASELINES, *also}
        return np.isfinite(self.truth) & np.all([np.isfinite(self.answers[name]) for name in names], axis=0)


def choose(
    grid: HourGrid, hours: npt.NDArray[np.bool_], most: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """At most about `most` cases (rows, base hours) within the hours, evenly spread over stations and times of day."""
    candidates = base_hours(hours)
    known = np.isfinite(grid.values[:, candidates, 0])
    step = max(1, int(np.ceil(known.sum() / most)))
    while gcd(step, 24) > 1:
        step += 1
    at, rows = np.nonzero(known.T[::step])
    return rows, candidates[::step][at]


def forecast(
    grid: HourGrid,
    rows: npt.NDArray[np.int64],
    base: npt.NDArray[np.int64],
    forecaster: Forecaster,
    climatology: Climatology,
    damping: DampedAnomaly,
) -> HeldOut:
    """Forecast the cases with the forecaster and the baselines, whose climatology and damping are given.

    Persistence is the value of the base hour; the seasonal naive forecast the value a day before the valid time.
    """
    width = len(VARIABLES)
    seen = features.model_inputs(grid, climatology)
    ahead = np.array(LEADS)
    parts: dict[str, list[npt.NDArray]] = {name: [] for name in (MODEL, *BASELINES)}
    lower: dict[float, list[npt.NDArray]] = {level: [] for level in LEVELS}
    upper: dict[float, list[npt.NDArray]] = {level: [] for level in LEVELS}
    for begin in range(0, len(base), CHUNK):
        where, when = rows[begin : begin + CHUNK], base[begin : begin + CHUNK]
        made = forecaster.forecast(grid, where.tolist(), when.tolist())
        cases = features.case_features(seen, damping, where, when)
        last = seen.present[where, when, :width][:, None]
        day_before = seen.present[where[:, None], when[:, None] + ahead - 24, :width]
        parts[MODEL].append(made.values)
        parts["persistence"].append(np.broadcast_to(last, made.values.shape))
        parts["seasonal_naive"].append(day_before)
        parts["climatology"].append(clip_to_limits(cases.normal))
        parts["damped_anomaly"].append(clip_to_limits(cases.normal + cases.damped))
        for level in LEVELS:
            lower[level].append(made.lower[level])
            upper[level].append(made.upper[level])
    truth = seen.present[rows[:, None], base[:, None] + ahead, :width]
    return HeldOut(
        tuple(station.station_id for station in grid.stations),
        rows,
        grid.start + base,
        truth,
        {name: _joined(part) for name, part in parts.items()},
        {level: _joined(part) for level, part in lower.items()},
        {level: _joined(part) for level, part in upper.items()},
    )


def _joined(parts: list[npt.NDArray]) -> npt.NDArray[np.float32]:
    empty = np.empty((0, len(LEADS), len(VARIABLES)), np.float32)
    return np.concatenate([empty, *(part.astype(np.float32) for part in parts)])
