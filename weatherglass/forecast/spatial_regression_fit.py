"""Fitting of the spatial regression: sums over the hours once, then a linear system for each station."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.neighbours import distances
from weatherglass.forecast.spatial_regression import (
    BLOCKS,
    LAGS,
    MAX_NEIGHBOURS,
    SpatialRegression,
    imputation_inputs,
    predictors,
    standardize,
)
from weatherglass.forecast.variables import MODEL_VARIABLES
from weatherglass.records import LEADS, VARIABLES
from weatherglass.stations import Station

MIN_COVERAGE = 0.5
"""Share of the hours in which a station must have reported a variable for the variable to be used."""
MIN_HOURS = 60 * 24
"""Hours in which a station must have reported a variable."""

OWN_STATION_PENALTY = 0.2
PENALTY_DISTANCE_KM = 1000.0
PENALTIES = (1_500.0, 5_000.0, 15_000.0, 50_000.0, 150_000.0)
"""Candidates in hours of data; one is chosen for each variable by cross-validation."""
IMPUTATION_PENALTY = 100.0
"""Ridge penalty of the imputation of a station's changes from its neighbours' changes, in hours of data."""
WINSOR_LIMIT = 5.0
"""Limit of the residuals in robust standard deviations, so that jumps of a sensor do not count as weather."""
WINSOR_STEP_HOURS = 7
"""Step between the hours from which the winsor limits are computed."""
CHUNK = 2_000
"""Hours whose regressors are computed at a time, to limit memory."""


@dataclass(frozen=True)
class RegressionSums:
    """Sums of products of the regressors and targets of some hours.

    Sums of disjoint hours can be added, so a fold is left out by subtraction.

    Attributes:
        regressors: (p, p) for the regressors of all stations.
        regressor_sum: (p,).
        targets: (s, regressors of a station, leads x variables).
        target_sum: (s, leads x variables).
    """

    count: int
    regressors: npt.NDArray[np.float32]
    regressor_sum: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float32]
    target_sum: npt.NDArray[np.float64]

    def __add__(self, other: RegressionSums) -> RegressionSums:
        return RegressionSums(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __sub__(self, other: RegressionSums) -> RegressionSums:
        return RegressionSums(*(a - b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class SpatialRegressionFit:
    """Inputs of the regression of s stations; `sums` and `solve` fit it on any base hours.

    Attributes:
        hours: (hours,) `datetime64[h]`, UTC.
        anomalies, field: (s, hours, model variables); the field is standardized.
        neighbours, scale, fitted: see `SpatialRegression`.
        limit: (s, lags 0 to 24 h, variables) winsor limit of the residuals of the damped anomaly.
        step: every `step`-th base hour is used.
    """

    stations: tuple[Station, ...]
    hours: npt.NDArray[np.datetime64]
    anomalies: npt.NDArray[np.float32]
    damping: DampedAnomaly
    scale: npt.NDArray[np.float32]
    field: npt.NDArray[np.float32]
    neighbours: npt.NDArray[np.int64]
    fitted: npt.NDArray[np.bool_]
    limit: npt.NDArray[np.float32]
    step: int

    @classmethod
    def from_anomalies(
        cls,
        stations: tuple[Station, ...],
        hours: npt.NDArray[np.datetime64],
        anomalies: npt.NDArray[np.float32],
        damping: DampedAnomaly,
        max_hours: int,
    ) -> SpatialRegressionFit:
        """Prepare a fit on anomalies (s, hours, model variables); hours that must not be used are NaN."""
        finite = np.isfinite(anomalies)
        count = int(finite.any(axis=(0, 2)).sum())
        sufficient = finite.sum(axis=1) >= max(MIN_COVERAGE * count, MIN_HOURS)
        middle = np.nanmedian(np.where(sufficient[:, None], anomalies, 0), axis=1, keepdims=True)
        spread = 1.4826 * np.nanmedian(np.abs(np.where(sufficient[:, None], anomalies, 0) - middle), axis=1)
        scale = np.where(sufficient & (spread > 1e-3), spread, np.nan).astype(np.float32)
        kilometres = distances(stations)
        np.fill_diagonal(kilometres, -1.0)
        neighbours = np.argsort(np.nan_to_num(kilometres, nan=np.inf), axis=1, kind="stable")[:, :MAX_NEIGHBOURS]
        fitted = np.isfinite(scale[:, : len(VARIABLES)])
        step = max(1, round(count / max_hours))
        limit = _winsor_limits(anomalies[..., : len(VARIABLES)], damping)
        field = standardize(anomalies, scale)
        return cls(stations, hours, anomalies, damping, scale, field, neighbours, fitted, limit, step)

    def columns(self, row: int) -> npt.NDArray[np.int64]:
        """Return the indices of a station's regressors among those of all stations, in the order of `predictors`."""
        stations, width = len(self.stations), len(MODEL_VARIABLES)
        first = np.arange(BLOCKS)[:, None, None] * (stations * width) + self.neighbours[row][None, :, None] * width
        return (first + np.arange(width)).ravel()

    def penalty(self, row: int) -> npt.NDArray[np.float64]:
        """Return the relative penalties of a station's regressors, to be multiplied by one of `PENALTIES`."""
        kilometres = distances(self.stations)[row][self.neighbours[row]]
        by_station = np.nan_to_num(1 + (kilometres / PENALTY_DISTANCE_KM) ** 2, nan=1e3)
        by_station[0] = OWN_STATION_PENALTY
        by_lag = np.array([0.5 + lag / 10 for lag in LAGS] + [1.0, 1.0])
        return np.repeat((by_lag[:, None] * by_station[None, :]).ravel(), len(MODEL_VARIABLES))

    def _chunks(self, base: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray, npt.NDArray]]:
        """Yield the regressors (n, p) and the targets (n, s, leads x variables) of all stations."""
        for begin in range(0, len(base), CHUNK):
            chunk = base[begin : begin + CHUNK]
            lagged = self.field[:, chunk[:, None] - np.array(LAGS)].transpose(1, 2, 0, 3)
            yield predictors(lagged, self.hours[chunk]), self.residuals(chunk)

    def residuals(self, base: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return truth minus damped anomaly (n, s, leads x variables), winsorized; 0 if unknown."""
        width = len(VARIABLES)
        now = self.anomalies[:, base, :width]
        residuals = np.empty((len(base), len(self.stations), len(LEADS), width), np.float32)
        rho = self.damping.rho[:, :, None].astype(np.float32)
        for i, lead in enumerate(LEADS):
            residual = self.anomalies[:, base + lead, :width] - rho[:, lead] * now
            residuals[:, :, i] = np.clip(residual, -self.limit[:, lead, None], self.limit[:, lead, None]).transpose(
                1, 0, 2
            )
        return np.nan_to_num(residuals).reshape(len(base), len(self.stations), -1)

    def sums(self, base: npt.NDArray[np.int64]) -> RegressionSums:
        """Return the sums over every `step`-th of the base hours."""
        width = len(self.stations) * len(MODEL_VARIABLES) * BLOCKS
        total: RegressionSums | None = None
        columns = [self.columns(row) for row in range(len(self.stations))]
        outcomes = len(LEADS) * len(VARIABLES)
        for regressors, residuals in self._chunks(base[:: self.step]):
            targets = np.zeros((len(columns), len(columns[0]), outcomes), np.float32)
            for row in np.flatnonzero(self.fitted.any(axis=1)):
                targets[row] = regressors[:, columns[row]].T @ residuals[:, row]
            chunk = RegressionSums(
                len(regressors),
                regressors.T @ regressors,
                regressors.sum(axis=0, dtype=float),
                targets,
                residuals.sum(axis=0, dtype=float),
            )
            total = chunk if total is None else total + chunk
        if total is None:
            empty = np.zeros((len(columns), len(columns[0]), outcomes), np.float32)
            return RegressionSums(
                0, np.zeros((width, width), np.float32), np.zeros(width), empty, np.zeros(empty.shape[::2])
            )
        return total

    def solve(
        self,
        sums: RegressionSums,
        penalties: Sequence[float],
        shrinkage: npt.NDArray[np.float32],
        rows: Sequence[int] | None = None,
    ) -> SpatialRegression:
        """Fit the regression of the given rows (all by default).

        Args:
            penalties: one for each variable, in hours of data.
            shrinkage: (leads, variables) factors of the weights.
        """
        count = len(self.stations)
        size = BLOCKS * self.neighbours.shape[1] * len(MODEL_VARIABLES)
        shape = (len(LEADS), len(VARIABLES))
        weights = np.zeros((count, size, *shape), np.float32)
        offset = np.zeros((count, *shape), np.float32)
        neighbours = self.neighbours.shape[1]
        imputation = np.zeros((count, len(LAGS) - 1, 2 * neighbours - 1, len(MODEL_VARIABLES)), np.float32)
        mean = sums.regressor_sum / max(sums.count, 1)
        for row in range(count) if rows is None else rows:
            if not self.fitted[row].any():
                continue
            columns, penalty = self.columns(row), self.penalty(row)
            local = mean[columns]
            gram = sums.regressors[np.ix_(columns, columns)] - sums.count * np.outer(local, local)
            imputation[row] = _fit_imputation(
                gram.reshape(BLOCKS, neighbours, len(MODEL_VARIABLES), BLOCKS, neighbours, len(MODEL_VARIABLES)),
                self.step,
            )
            target = sums.targets[row] - np.outer(local, sums.target_sum[row])
            target = target.reshape(size, *shape)
            for value in sorted(set(penalties)):
                which = [v for v in range(len(VARIABLES)) if penalties[v] == value and self.fitted[row, v]]
                if not which:
                    continue
                loaded = gram.astype(np.float32)
                loaded[np.diag_indices(size)] += (penalty * value / self.step).astype(np.float32)
                factor = cho_factor(loaded, lower=True, overwrite_a=True, check_finite=False)
                solution = cho_solve(
                    factor, target[..., which].reshape(size, -1).astype(np.float32), check_finite=False
                )
                weights[row][..., which] = solution.reshape(size, len(LEADS), len(which)) * shrinkage[:, which]
            prediction_mean = np.tensordot(local, weights[row].astype(float), axes=1)
            target_mean = sums.target_sum[row].reshape(shape) / max(sums.count, 1) * shrinkage
            offset[row] = np.where(self.fitted[row], target_mean - prediction_mean, 0.0)
        ids = tuple(station.station_id for station in self.stations)
        return SpatialRegression(ids, self.scale, self.neighbours, weights, offset, self.fitted, imputation)


def _fit_imputation(gram: npt.NDArray, step: int) -> npt.NDArray[np.float32]:
    """Return `SpatialRegression.imputation` of a station from its regressors' sums of products: a ridge per change."""
    coefficients = []
    for lag in range(1, len(LAGS)):
        for variable in range(len(MODEL_VARIABLES)):
            products = imputation_inputs(
                gram[:, :, variable, :, :, variable].reshape(1, BLOCKS, gram.shape[1], -1), lag
            )[0]
            products = products.reshape(len(products), BLOCKS, -1)
            known = imputation_inputs(products, lag)
            loaded = known + IMPUTATION_PENALTY / step * np.eye(known.shape[1])
            coefficients.append(np.linalg.solve(loaded, products[:, lag, 0]))
    return (
        np.stack(coefficients, axis=1)
        .reshape(-1, len(LAGS) - 1, len(MODEL_VARIABLES))
        .transpose(1, 0, 2)
        .astype(np.float32)
    )


def _winsor_limits(anomalies: npt.NDArray[np.float32], damping: DampedAnomaly) -> npt.NDArray[np.float32]:
    """Return `SpatialRegressionFit.limit`: `WINSOR_LIMIT` robust standard deviations of the residuals at each lead."""
    limits = np.zeros((len(anomalies), LEADS[-1] + 1, len(VARIABLES)), np.float32)
    for lead in LEADS:
        then = slice(0, anomalies.shape[1] - lead, WINSOR_STEP_HOURS)
        residuals = (
            anomalies[:, lead::WINSOR_STEP_HOURS] - damping.rho[:, lead, None].astype(np.float32) * anomalies[:, then]
        )
        known = np.isfinite(residuals)
        median = np.array(
            [
                [np.median(np.abs(a[k])) if k.any() else 0.0 for a, k in zip(x.T, y.T, strict=True)]
                for x, y in zip(residuals, known, strict=True)
            ]
        )
        limits[:, lead] = WINSOR_LIMIT * 1.4826 * median
    return limits
