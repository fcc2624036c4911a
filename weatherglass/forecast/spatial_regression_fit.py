"""Fitting the linear network: sums over the hours once, then a small system of equations for each station."""

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
    NEAR,
    SpatialRegression,
    predictors,
    recalled_from,
    standardised,
)
from weatherglass.forecast.variables import MODEL_VARIABLES
from weatherglass.records import LEADS, VARIABLES
from weatherglass.stations import Station

MIN_COVERAGE = 0.5
"""Share of the hours that a station's variable must have for a regression of its own."""
MIN_HOURS = 60 * 24

OWN_PENALTY = 0.2
FAR_KM = 1000.0
PENALTIES = (1_500.0, 5_000.0, 15_000.0, 50_000.0, 150_000.0)
"""Tried on left-out blocks, one is chosen for each variable; in hours of data."""
RECALL_PENALTY = 100.0
"""Of the regression of a station's changes on its neighbours', in hours of data."""
WILD = 5.0
SPREAD_STEP = 7
"""Every so many hours are looked at to find what is wild."""
CHUNK = 2_000
"""Hours whose regressors are made at a time; bounds the memory."""


@dataclass(frozen=True)
class Sums:
    """What a regression needs of some hours: sums of products. They add up, so folds are left out by subtraction."""

    count: int
    regressors: npt.NDArray[np.float32]
    """(p, p) over all stations' regressors."""
    regressor_mean: npt.NDArray[np.float64]
    """(p,) their sum."""
    targets: npt.NDArray[np.float32]
    """(s, columns of a station, leads x variables)"""
    target_sum: npt.NDArray[np.float64]
    """(s, leads x variables)"""

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(*(a - b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class SpatialRegressionFit:
    """A network to be fitted on hours of a grid; `fit` gives it without those of a fold, or with all."""

    stations: tuple[Station, ...]
    start: np.datetime64
    anomalies: npt.NDArray[np.float32]
    damping: DampedAnomaly
    scale: npt.NDArray[np.float32]
    field: npt.NDArray[np.float32]
    """(s, hours, channels) standardised anomalies."""
    near: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    limit: npt.NDArray[np.float32]
    """(s, lag, variables): what the damped anomaly leaves over is kept within it; sensors that jump are not weather."""
    step: int

    @classmethod
    def of(
        cls,
        stations: tuple[Station, ...],
        start: np.datetime64,
        anomalies: npt.NDArray[np.float32],
        damping: DampedAnomaly,
        most_hours: int,
    ) -> SpatialRegressionFit:
        """Anomalies (s, hours, channels) with NaN where an hour must not be learnt from."""
        finite = np.isfinite(anomalies)
        hours = max(1, int(finite.any(axis=(0, 2)).sum()))
        enough = finite.sum(axis=1) >= max(MIN_COVERAGE * hours, MIN_HOURS)
        middle = np.nanmedian(np.where(enough[:, None], anomalies, 0), axis=1, keepdims=True)
        spread = 1.4826 * np.nanmedian(np.abs(np.where(enough[:, None], anomalies, 0) - middle), axis=1)
        scale = np.where(enough & (spread > 1e-3), spread, np.nan).astype(np.float32)
        apart = distances(stations)
        np.fill_diagonal(apart, -1.0)
        near = np.argsort(np.nan_to_num(apart, nan=np.inf), axis=1, kind="stable")[:, :NEAR]
        known = np.isfinite(scale[:, : len(VARIABLES)])
        step = max(1, round(hours / most_hours))
        limit = _limits(anomalies[..., : len(VARIABLES)], damping)
        field = standardised(anomalies, scale)
        return cls(stations, start, anomalies, damping, scale, field, near, known, limit, step)

    def columns(self, row: int) -> npt.NDArray[np.int64]:
        """The regressors of a station among those of all, in the order of `predictors`."""
        stations, width = len(self.stations), len(MODEL_VARIABLES)
        at = np.arange(BLOCKS)[:, None, None] * (stations * width) + self.near[row][None, :, None] * width
        return (at + np.arange(width)).ravel()

    def penalty(self, row: int) -> npt.NDArray[np.float64]:
        """Of a station's regressors, to be multiplied by one of `PENALTIES`."""
        apart = distances(self.stations)[row][self.near[row]]
        far = np.nan_to_num(1 + (apart / FAR_KM) ** 2, nan=1e3)
        far[0] = OWN_PENALTY
        lag = np.array([0.5 + lag / 10 for lag in LAGS] + [1.0, 1.0])
        return np.repeat((lag[:, None] * far[None, :]).ravel(), len(MODEL_VARIABLES))

    def _chunks(self, base: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray, npt.NDArray]]:
        """Regressors of all stations (n, p) and residuals over the damped anomaly (n, s, leads x variables)."""
        for begin in range(0, len(base), CHUNK):
            at = base[begin : begin + CHUNK]
            lagged = self.field[:, at[:, None] - np.array(LAGS)].transpose(1, 2, 0, 3)
            yield predictors(lagged, self.start + at), self.residuals(at)

    def residuals(self, base: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(n, s, leads x variables) truth minus damped anomaly, winsorised; 0 where it is not known."""
        width = len(VARIABLES)
        now = self.anomalies[:, base, :width]
        made = np.empty((len(base), len(self.stations), len(LEADS), width), np.float32)
        rho = self.damping.rho[:, :, None].astype(np.float32)
        for i, lead in enumerate(LEADS):
            left = self.anomalies[:, base + lead, :width] - rho[:, lead] * now
            made[:, :, i] = np.clip(left, -self.limit[:, lead, None], self.limit[:, lead, None]).transpose(1, 0, 2)
        return np.nan_to_num(made).reshape(len(base), len(self.stations), -1)

    def sums(self, base: npt.NDArray[np.int64]) -> Sums:
        """Over every `step`-th of the base hours."""
        width = len(self.stations) * len(MODEL_VARIABLES) * BLOCKS
        total: Sums | None = None
        columns = [self.columns(row) for row in range(len(self.stations))]
        outcomes = len(LEADS) * len(VARIABLES)
        for seen, left in self._chunks(base[:: self.step]):
            targets = np.zeros((len(columns), len(columns[0]), outcomes), np.float32)
            for row in np.flatnonzero(self.known.any(axis=1)):
                targets[row] = seen[:, columns[row]].T @ left[:, row]
            part = Sums(len(seen), seen.T @ seen, seen.sum(axis=0, dtype=float), targets, left.sum(axis=0, dtype=float))
            total = part if total is None else total + part
        if total is None:
            empty = np.zeros((len(columns), len(columns[0]), outcomes), np.float32)
            return Sums(0, np.zeros((width, width), np.float32), np.zeros(width), empty, np.zeros(empty.shape[::2]))
        return total

    def solve(
        self,
        sums: Sums,
        penalties: Sequence[float],
        shrinkage: npt.NDArray[np.float32],
        rows: Sequence[int] | None = None,
    ) -> SpatialRegression:
        """The network with these penalties, one a variable, its weights times `shrinkage` (leads, variables)."""
        count = len(self.stations)
        size = BLOCKS * self.near.shape[1] * len(MODEL_VARIABLES)
        shape = (len(LEADS), len(VARIABLES))
        weights = np.zeros((count, size, *shape), np.float32)
        offset = np.zeros((count, *shape), np.float32)
        near = self.near.shape[1]
        recall = np.zeros((count, len(LAGS) - 1, 2 * near - 1, len(MODEL_VARIABLES)), np.float32)
        mean = sums.regressor_mean / max(sums.count, 1)
        for row in range(count) if rows is None else rows:
            if not self.known[row].any():
                continue
            columns, penalty = self.columns(row), self.penalty(row)
            local = mean[columns]
            gram = sums.regressors[np.ix_(columns, columns)] - sums.count * np.outer(local, local)
            recall[row] = _recall(
                gram.reshape(BLOCKS, near, len(MODEL_VARIABLES), BLOCKS, near, len(MODEL_VARIABLES)), self.step
            )
            target = sums.targets[row] - np.outer(local, sums.target_sum[row])
            target = target.reshape(size, *shape)
            for value in sorted(set(penalties)):
                which = [v for v in range(len(VARIABLES)) if penalties[v] == value and self.known[row, v]]
                if not which:
                    continue
                loaded = gram.astype(np.float32)
                loaded[np.diag_indices(size)] += (penalty * value / self.step).astype(np.float32)
                factor = cho_factor(loaded, lower=True, overwrite_a=True, check_finite=False)
                answer = cho_solve(factor, target[..., which].reshape(size, -1).astype(np.float32), check_finite=False)
                weights[row][..., which] = answer.reshape(size, len(LEADS), len(which)) * shrinkage[:, which]
            centre = np.tensordot(local, weights[row].astype(float), axes=1)
            centred = sums.target_sum[row].reshape(shape) / max(sums.count, 1) * shrinkage
            offset[row] = np.where(self.known[row], centred - centre, 0.0)
        ids = tuple(station.station_id for station in self.stations)
        return SpatialRegression(ids, self.scale, self.near, weights, offset, self.known, recall)


def _recall(gram: npt.NDArray, step: int) -> npt.NDArray[np.float32]:
    """`SpatialRegression.recall` of a station from the sums of products of its regressors: ridge per change."""
    made = []
    for lag in range(1, len(LAGS)):
        for channel in range(len(MODEL_VARIABLES)):
            products = recalled_from(gram[:, :, channel, :, :, channel].reshape(1, BLOCKS, gram.shape[1], -1), lag)[0]
            products = products.reshape(len(products), BLOCKS, -1)
            known = recalled_from(products, lag)
            loaded = known + RECALL_PENALTY / step * np.eye(known.shape[1])
            made.append(np.linalg.solve(loaded, products[:, lag, 0]))
    return np.stack(made, axis=1).reshape(-1, len(LAGS) - 1, len(MODEL_VARIABLES)).transpose(1, 0, 2).astype(np.float32)


def _limits(anomalies: npt.NDArray[np.float32], damping: DampedAnomaly) -> npt.NDArray[np.float32]:
    """`WILD` robust standard deviations of what the damped anomaly leaves over, (s, lag 0 to 24 h, variables)."""
    made = np.zeros((len(anomalies), LEADS[-1] + 1, len(VARIABLES)), np.float32)
    for lead in LEADS:
        then = slice(0, anomalies.shape[1] - lead, SPREAD_STEP)
        left = anomalies[:, lead::SPREAD_STEP] - damping.rho[:, lead, None].astype(np.float32) * anomalies[:, then]
        known = np.isfinite(left)
        usual = np.array(
            [
                [np.median(np.abs(a[k])) if k.any() else 0.0 for a, k in zip(x.T, y.T, strict=True)]
                for x, y in zip(left, known, strict=True)
            ]
        )
        made[:, lead] = WILD * 1.4826 * usual
    return made
