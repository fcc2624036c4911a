"""Harmonic climatology: what is usual at a station at a time of the year and of the day.

A ridge regression per station and channel on annual and diurnal harmonics and their interaction, in the manner of
Narapusetty, DelSole and Tippett (2009), Optimal estimation of the climatological mean, J. Climate 22. The penalty
grows with the order of a harmonic, so that a record shorter than a year does not invent a second summer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.variables import MODEL_VARIABLES, model_variables
from weatherglass.history.grid import HourGrid

ANNUAL = 2
DIURNAL = 3
MIXED = 2
"""Harmonics: of the year, of the day, and how many of the day vary with the first of the year."""

TERMS = 1 + 2 * ANNUAL + 2 * DIURNAL + 4 * MIXED

MIN_HOURS = 20 * 24
"""A channel with fewer values than this has no climatology."""

CHUNK_PAIRS = 8192
"""Pairs of a station and an hour looked up at a time: each takes a kilobyte."""

_PENALTY = np.concatenate(
    [
        [0.0],
        np.repeat([240.0 * k**4 for k in range(1, ANNUAL + 1)], 2),
        np.repeat([24.0 * k**2 for k in range(1, DIURNAL + 1)], 2),
        np.repeat([240.0 * k**2 for k in range(1, MIXED + 1)], 4),
    ]
)
"""In hours of data: weather keeps for days, so a thousand hours are only some tens of independent looks."""


def harmonics(hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
    """Regressors (n, TERMS) of hours (n,) `datetime64[h]`, UTC."""
    count = hours.astype("datetime64[h]").astype(np.int64)
    year = 2 * np.pi * count / (365.2425 * 24)
    day = 2 * np.pi * (count % 24) / 24
    columns = [np.ones(len(count))]
    for k in range(1, ANNUAL + 1):
        columns += [np.cos(k * year), np.sin(k * year)]
    for k in range(1, DIURNAL + 1):
        columns += [np.cos(k * day), np.sin(k * day)]
    for k in range(1, MIXED + 1):
        for wave in (np.cos(k * day), np.sin(k * day)):
            columns += [wave * np.cos(year), wave * np.sin(year)]
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Climatology:
    """Coefficients (stations, TERMS, channels) in the channels' units; NaN where a channel has too few values."""

    station_ids: tuple[str, ...]
    coefficients: npt.NDArray[np.float64]

    def rows(self, station_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Position of each station, -1 where it is unknown."""
        known = {station_id: row for row, station_id in enumerate(self.station_ids)}
        return np.array([known.get(station_id, -1) for station_id in station_ids], dtype=np.int64)

    def at(self, rows: npt.NDArray[np.int64], hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float32]:
        """Usual values (len(rows), len(hours), channels) of every row at every hour; NaN for row -1."""
        regressors = harmonics(hours)
        values = np.full((len(rows), len(hours), len(MODEL_VARIABLES)), np.nan, dtype=np.float32)
        for i in np.flatnonzero(rows >= 0):
            values[i] = regressors @ self.coefficients[rows[i]]
        return values

    def at_pairs(self, rows: npt.NDArray[np.int64], hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float32]:
        """Usual values (n, channels) of row i at hour i."""
        values = np.empty((len(rows), len(MODEL_VARIABLES)), dtype=np.float32)
        for begin in range(0, len(rows), CHUNK_PAIRS):
            part = slice(begin, begin + CHUNK_PAIRS)
            values[part] = np.einsum("nt,ntc->nc", harmonics(hours[part]), self.coefficients[rows[part]], optimize=True)
        values[rows < 0] = np.nan
        return values


def fit(grid: HourGrid) -> Climatology:
    """Fit every station and channel of a grid, twice: the second time without what lies far outside the first fit."""
    regressors = harmonics(grid.hours)
    values = model_variables(grid.values)
    coefficients = np.full((len(grid.stations), TERMS, len(MODEL_VARIABLES)), np.nan)
    for station in range(len(grid.stations)):
        for channel in range(len(MODEL_VARIABLES)):
            known = np.isfinite(values[station, :, channel])
            if known.sum() >= MIN_HOURS:
                coefficients[station, :, channel] = _robust_ridge(regressors[known], values[station, known, channel])
    _fill_from_other_stations(coefficients)
    return Climatology(tuple(station.station_id for station in grid.stations), coefficients)


def _fill_from_other_stations(coefficients: npt.NDArray[np.float64]) -> None:
    """Where a known station has never reported its humidity or wind, take the mean and season of all others.

    Pressure and temperature depend too much on the place to be borrowed.
    """
    known = np.isfinite(coefficients[:, 0])
    for channel in (MODEL_VARIABLES.index(name) for name in ("humidity", "wind_speed", "wind_u", "wind_v")):
        missing = known[:, 0] & ~known[:, channel]
        if missing.any() and known[:, channel].any():
            coefficients[missing, :, channel] = 0.0
            seasonal = coefficients[known[:, channel], : 1 + 2 * ANNUAL, channel].mean(axis=0)
            coefficients[missing, : 1 + 2 * ANNUAL, channel] = seasonal


def _robust_ridge(regressors: npt.NDArray, values: npt.NDArray) -> npt.NDArray:
    first = _ridge(regressors, values)
    error = np.abs(values - regressors @ first)
    usual = error <= 5 * 1.4826 * np.median(error) + 1e-6
    return _ridge(regressors[usual], values[usual])


def _ridge(regressors: npt.NDArray, values: npt.NDArray) -> npt.NDArray:
    return np.linalg.solve(regressors.T @ regressors + np.diag(_PENALTY), regressors.T @ values.astype(np.float64))
