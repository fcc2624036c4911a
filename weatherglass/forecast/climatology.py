"""Harmonic climatology: the normal value of a station by time of year and time of day.

A ridge regression per station and variable on annual and diurnal harmonics and their interaction, in the manner of
Narapusetty, DelSole and Tippett (2009), Optimal estimation of the climatological mean, J. Climate 22. The penalty
grows with the order of a harmonic, so that a record shorter than a year does not produce a second summer.
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
"""Number of harmonics of the year, of the day, and of the day that vary with the first harmonic of the year."""

TERMS = 1 + 2 * ANNUAL + 2 * DIURNAL + 4 * MIXED

MIN_HOURS = 20 * 24
"""Values that a variable needs for a climatology."""

CHUNK_PAIRS = 8192
"""Pairs of a station and an hour that are evaluated at a time; each takes about 1 KB."""

_PENALTY = np.concatenate(
    [
        [0.0],
        np.repeat([240.0 * k**4 for k in range(1, ANNUAL + 1)], 2),
        np.repeat([24.0 * k**2 for k in range(1, DIURNAL + 1)], 2),
        np.repeat([240.0 * k**2 for k in range(1, MIXED + 1)], 4),
    ]
)
"""Ridge penalty in hours of data: weather lasts for days, so 1,000 hours are a few dozen independent samples."""


def harmonics(hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
    """Return the regressors (n, TERMS) of hours (n,) `datetime64[h]`, UTC."""
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
    """Normal values of stations.

    Attributes:
        coefficients: (stations, TERMS, model variables) in the variables' units; NaN if there were too few values.
    """

    station_ids: tuple[str, ...]
    coefficients: npt.NDArray[np.float64]

    def rows(self, station_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the row of each station, -1 for an unknown station."""
        known = {station_id: row for row, station_id in enumerate(self.station_ids)}
        return np.array([known.get(station_id, -1) for station_id in station_ids], dtype=np.int64)

    def at(self, rows: npt.NDArray[np.int64], hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float32]:
        """Return the normals (len(rows), len(hours), model variables) at all hours, UTC; NaN for row -1."""
        regressors = harmonics(hours)
        values = np.full((len(rows), len(hours), len(MODEL_VARIABLES)), np.nan, dtype=np.float32)
        for i in np.flatnonzero(rows >= 0):
            values[i] = regressors @ self.coefficients[rows[i]]
        return values

    def at_pairs(self, rows: npt.NDArray[np.int64], hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float32]:
        """Return the normals (n, model variables) of `rows[i]` at `hours[i]`, UTC; NaN for row -1."""
        values = np.empty((len(rows), len(MODEL_VARIABLES)), dtype=np.float32)
        for begin in range(0, len(rows), CHUNK_PAIRS):
            chunk = slice(begin, begin + CHUNK_PAIRS)
            regressors = harmonics(hours[chunk])
            values[chunk] = np.einsum("nt,ntc->nc", regressors, self.coefficients[rows[chunk]], optimize=True)
        values[rows < 0] = np.nan
        return values


def fit(grid: HourGrid) -> Climatology:
    """Fit every station and model variable of a grid; a second fit leaves out values far from the first one."""
    regressors = harmonics(grid.hours)
    values = model_variables(grid.values)
    coefficients = np.full((len(grid.stations), TERMS, len(MODEL_VARIABLES)), np.nan)
    for station in range(len(grid.stations)):
        for variable in range(len(MODEL_VARIABLES)):
            known = np.isfinite(values[station, :, variable])
            if known.sum() >= MIN_HOURS:
                coefficients[station, :, variable] = _robust_ridge(regressors[known], values[station, known, variable])
    _fill_from_other_stations(coefficients)
    return Climatology(tuple(station.station_id for station in grid.stations), coefficients)


def _fill_from_other_stations(coefficients: npt.NDArray[np.float64]) -> None:
    """Give stations without humidity or wind the mean and annual cycle of all other stations.

    Pressure and temperature depend too much on the location to be borrowed.
    """
    known = np.isfinite(coefficients[:, 0])
    for variable in (MODEL_VARIABLES.index(name) for name in ("humidity", "wind_speed", "wind_u", "wind_v")):
        missing = known[:, 0] & ~known[:, variable]
        if missing.any() and known[:, variable].any():
            coefficients[missing, :, variable] = 0.0
            seasonal = coefficients[known[:, variable], : 1 + 2 * ANNUAL, variable].mean(axis=0)
            coefficients[missing, : 1 + 2 * ANNUAL, variable] = seasonal


def _robust_ridge(regressors: npt.NDArray, values: npt.NDArray) -> npt.NDArray:
    first = _ridge(regressors, values)
    error = np.abs(values - regressors @ first)
    inlier = error <= 5 * 1.4826 * np.median(error) + 1e-6
    return _ridge(regressors[inlier], values[inlier])


def _ridge(regressors: npt.NDArray, values: npt.NDArray) -> npt.NDArray:
    return np.linalg.solve(regressors.T @ regressors + np.diag(_PENALTY), regressors.T @ values.astype(np.float64))
