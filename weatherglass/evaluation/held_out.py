"""Forecasts of held-out hours with the observations and all baselines, case by case."""

from __future__ import annotations

from dataclasses import dataclass, field

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
from weatherglass.verification import scores
from weatherglass.verification.held_out_scores import MODEL, spread_cases

BASELINES = ("persistence", "seasonal_naive", "climatology", "damped_anomaly")
CHUNK = 1_000
"""Cases per batch; limits the memory."""


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of n cases; arrays (n, leads, variables) in °C, %, hPa, m/s, NaN where a value is missing.

    Attributes:
        station_ids: ids of the stations of the grid.
        stations: (n,) rows of the grid.
        base: (n,) `datetime64[h]`, UTC.
        observed: values at the valid times.
        forecasts: `model` or name of a baseline -> forecasts.
        lower, upper: level -> bounds of the model's interval.
    """

    station_ids: tuple[str, ...]
    stations: npt.NDArray[np.int64]
    base: npt.NDArray[np.datetime64]
    observed: npt.NDArray[np.float32]
    forecasts: dict[str, npt.NDArray[np.float32]]
    lower: dict[float, npt.NDArray[np.float32]] = field(default_factory=dict)
    upper: dict[float, npt.NDArray[np.float32]] = field(default_factory=dict)

    def absolute_errors(self, name: str) -> npt.NDArray[np.float32]:
        """Absolute errors of a forecast; NaN unless the case is `comparable`."""
        errors = scores.absolute_error(self.forecasts[name], self.observed)
        return np.where(self.comparable(name), errors, np.float32(np.nan))

    def comparable(self, *names: str) -> npt.NDArray[np.bool_]:
        """Where the observation and the forecasts of the model, the baselines and `names` are known.

        A baseline without any forecast is not required: far from all known stations there is no climatology.
        """
        required = {MODEL, *names, *(name for name in BASELINES if np.isfinite(self.forecasts[name]).any())}
        known = [np.isfinite(self.forecasts[name]) for name in required]
        return np.isfinite(self.observed) & np.all(known, axis=0)


def choose_cases(
    grid: HourGrid, hours: npt.NDArray[np.bool_], max_cases: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """About `max_cases` cases at most (rows, base hours) within `hours`, of stations with a temperature then."""
    candidates = base_hours(hours)
    return spread_cases(np.isfinite(grid.values[:, candidates, 0]), candidates, max_cases)


def forecast(
    grid: HourGrid,
    rows: npt.NDArray[np.int64],
    base: npt.NDArray[np.int64],
    forecaster: Forecaster,
    climatology: Climatology,
    damping: DampedAnomaly,
) -> HeldOut:
    """Forecast the cases with the forecaster and the baselines, which use the given climatology and damping.

    Persistence is the value of the base hour, the seasonal naive forecast the value 24 h before the valid time.
    """
    width = len(VARIABLES)
    inputs = features.model_inputs(grid, climatology)
    leads = np.array(LEADS)
    chunks: dict[str, list[npt.NDArray]] = {name: [] for name in (MODEL, *BASELINES)}
    lower: dict[float, list[npt.NDArray]] = {level: [] for level in LEVELS}
    upper: dict[float, list[npt.NDArray]] = {level: [] for level in LEVELS}
    for begin in range(0, len(base), CHUNK):
        chunk_rows, chunk_base = rows[begin : begin + CHUNK], base[begin : begin + CHUNK]
        result = forecaster.forecast(grid, chunk_rows.tolist(), chunk_base.tolist())
        cases = features.case_features(inputs, damping, chunk_rows, chunk_base)
        last = inputs.values[chunk_rows, chunk_base, :width][:, None]
        day_before = inputs.values[chunk_rows[:, None], chunk_base[:, None] + leads - 24, :width]
        chunks[MODEL].append(result.values)
        chunks["persistence"].append(np.broadcast_to(last, result.values.shape))
        chunks["seasonal_naive"].append(day_before)
        chunks["climatology"].append(clip_to_limits(cases.normal))
        chunks["damped_anomaly"].append(clip_to_limits(cases.normal + cases.damped))
        for level in LEVELS:
            lower[level].append(result.lower[level])
            upper[level].append(result.upper[level])
    observed = inputs.values[rows[:, None], base[:, None] + leads, :width]
    return HeldOut(
        tuple(station.station_id for station in grid.stations),
        rows,
        grid.hours_at(base),
        observed,
        {name: _concatenate(values) for name, values in chunks.items()},
        {level: _concatenate(values) for level, values in lower.items()},
        {level: _concatenate(values) for level, values in upper.items()},
    )


def _concatenate(chunks: list[npt.NDArray]) -> npt.NDArray[np.float32]:
    empty = np.empty((0, len(LEADS), len(VARIABLES)), np.float32)
    return np.concatenate([empty, *(chunk.astype(np.float32) for chunk in chunks)])
