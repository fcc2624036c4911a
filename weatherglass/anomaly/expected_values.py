"""The value expected from a station's own past and its neighbours.

One ridge regression per station, variable and *view*, on anomalies in units of each station's spread. A view is the
information that may be used: own past that ends 1, 3, 6, 12 or 24 hours ago (forecasts at those leads, corrected with
the current values of the neighbours), the neighbours alone, the own past alone, or the station's other variables. A
slowly drifting sensor agrees with its own past of an hour ago, but not with that of yesterday or with its neighbours.
The regression on the best correlated neighbours is the spatial regression test of Hubbard et al. (2005), J. Atmos.
Oceanic Technol. 22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from weatherglass.records import VARIABLES
from weatherglass.registry.arrays import ModelArrays

LEADS = (1, 3, 6, 12, 24)
VIEWS = (*(f"lead{lead}" for lead in LEADS), "neighbours", "past", "others")
OWN_LAGS = (1, 2, 3, 4, 6, 8, 12, 14, 18, 24, 26, 30, 36, 48)
LOOK_BACK = max(OWN_LAGS)
NEIGHBOURS = 8
NEIGHBOUR_LAGS = (0, *LEADS)
HOLD_HOURS = 3
"""A missing value is replaced by the last value for this long, then by the usual value."""
MIN_HOURS = 720
"""Hours with a value that a variable needs for a regression."""
MAX_HOURS = 5_000
"""Hours used for a regression; more only take time."""
RIDGE = 20.0
OUTLIERS = 5.0
"""Robust standard deviations beyond which an hour is excluded from the second fit: history has faults too."""
CORRELATED_HOURS = 5_000
TAIL = 0.995

COUNT = len(VARIABLES)
OWN = len(OWN_LAGS) * COUNT
NEARBY = len(NEIGHBOUR_LAGS) * NEIGHBOURS
COLUMNS = OWN + NEARBY + COUNT
CHUNK_HOURS = 400


def _columns(view: str, variable: int) -> npt.NDArray[np.int64]:
    """Return the inputs that a view may use for one variable."""
    own = [i * COUNT + v for i, lag in enumerate(OWN_LAGS) for v in range(COUNT) if lag >= _lead(view)]
    nearby = [OWN + k for k in range(NEIGHBOURS)]
    if view.startswith("lead"):
        past = OWN + NEIGHBOUR_LAGS.index(_lead(view)) * NEIGHBOURS
        return np.array([*own, *nearby, *range(past, past + NEIGHBOURS)])
    if view == "past":
        return np.array(own)
    if view == "neighbours":
        return np.array(nearby)
    others = [OWN + NEARBY + v for v in range(COUNT) if v != variable]
    return np.array([*own, *nearby, *others])


def _lead(view: str) -> int:
    return int(view.removeprefix("lead")) if view.startswith("lead") else {"past": 1, "others": 3}.get(view, 99)


@dataclass(frozen=True)
class ExpectedValues:
    """The regressions of n stations.

    Attributes:
        spread: (n, 4) robust standard deviation of the anomalies; NaN where too few hours were known.
        neighbours: (n, 4, NEIGHBOURS) rows of the best correlated stations, -1 where there are fewer.
        weights: (n, 4, COLUMNS, views).
        scale: (n, 4, views) robust standard deviation of the residuals, in units of `spread`; NaN where not fitted.
        tail: (n, 4, views) quantile `TAIL` of the absolute residuals, in units of `scale`: 2.8 for a normal
            distribution, much more for a sensor with many faults or a place with extreme weather.
    """

    station_ids: tuple[str, ...]
    spread: npt.NDArray[np.float64]
    neighbours: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float64]
    tail: npt.NDArray[np.float64]

    @classmethod
    def from_arrays(cls, station_ids: tuple[str, ...], arrays: ModelArrays, prefix: str) -> ExpectedValues:
        """Take the arrays from a file, where the names have a prefix.

        Raises:
            ModelFileError: an array is missing or does not match the stations.
        """
        n = len(station_ids)
        return cls(
            station_ids,
            arrays.take(f"{prefix}spread", np.float64, (n, COUNT)),
            arrays.take(f"{prefix}neighbours", np.int64, (n, COUNT, NEIGHBOURS), -1, n - 1),
            arrays.take(f"{prefix}weights", np.float32, (n, COUNT, COLUMNS, len(VIEWS))),
            arrays.take(f"{prefix}scale", np.float64, (n, COUNT, len(VIEWS))),
            arrays.take(f"{prefix}tail", np.float64, (n, COUNT, len(VIEWS))),
        )

    def predict(self, anomalies: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float32]:
        """Predict anomalies (n, hours - first, 4, views) from anomalies (n, hours, 4), rows as `station_ids`.

        Predictions at hour `first` use up to `LOOK_BACK` hours before it. NaN where not fitted.
        """
        chunks = []
        filled = _filled(anomalies / self.spread[:, None])
        for begin in range(first, anomalies.shape[1], CHUNK_HOURS):
            end = min(begin + CHUNK_HOURS, anomalies.shape[1])
            inputs = _inputs(filled, self.neighbours, begin, end)
            chunks.append(np.matmul(inputs, self.weights).transpose(0, 2, 1, 3))
        predicted = np.concatenate(chunks, axis=1) * self.spread[:, None, :, None]
        return np.where(np.isfinite(self.scale)[:, None], predicted, np.nan).astype(np.float32)

    def residuals(self, anomalies: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float32]:
        """Return anomalies minus predictions, in units of their usual distance; shape as of `predict`."""
        residuals = anomalies[:, first:, :, None] - self.predict(anomalies, first)
        return np.asarray(residuals / (self.scale * self.spread[..., None])[:, None], dtype=np.float32)


def _filled(anomalies: npt.NDArray) -> npt.NDArray[np.float32]:
    """Fill gaps: with the last value for a few hours, then with 0, the usual value."""
    known = np.isfinite(anomalies)
    moment = np.arange(anomalies.shape[1])[None, :, None]
    newest = np.maximum.accumulate(np.where(known, moment, 0), axis=1)
    held = np.take_along_axis(anomalies, newest, axis=1)
    return np.where(moment - newest <= HOLD_HOURS, np.nan_to_num(held), 0).astype(np.float32)


def _inputs(
    filled: npt.NDArray[np.float32], neighbours: npt.NDArray[np.int64], begin: int, end: int
) -> npt.NDArray[np.float32]:
    """Return inputs (n, 4, hours, COLUMNS) of hours `begin` to `end`; 0 before the first hour or without neighbour."""
    count, hours = len(filled), np.arange(begin, end)
    inputs = np.zeros((count, COUNT, len(hours), COLUMNS), np.float32)
    for i, lag in enumerate(OWN_LAGS):
        then = hours - lag
        values = np.where((then >= 0)[None, :, None], filled[:, np.maximum(then, 0)], 0)
        inputs[..., i * COUNT : (i + 1) * COUNT] = values[:, None]
    variable = np.arange(COUNT)[None, :, None]
    for i, lag in enumerate(NEIGHBOUR_LAGS):
        then = hours - lag
        known = (then >= 0)[None, None, :, None] & (neighbours >= 0)[:, :, None, :]
        # (n, 4, NEIGHBOURS, hours)
        values = filled[neighbours[..., None], np.maximum(then, 0), variable[..., None]].transpose(0, 1, 3, 2)
        inputs[..., OWN + i * NEIGHBOURS : OWN + (i + 1) * NEIGHBOURS] = np.where(known, values, 0)
    inputs[..., OWN + NEARBY :] = filled[:, None, begin:end]
    return inputs


def fit(station_ids: Sequence[str], anomalies: npt.NDArray[np.float32], seed: int) -> ExpectedValues:
    """Fit on anomalies (n, hours, 4) of history; NaN where missing or not to be used."""
    with threadpool_limits(1):  # with more threads, products this small take twenty times as long
        return _fit(station_ids, anomalies, seed)


def _fit(station_ids: Sequence[str], anomalies: npt.NDArray[np.float32], seed: int) -> ExpectedValues:
    rng = np.random.default_rng(seed)
    count = len(station_ids)
    enough = np.isfinite(anomalies).sum(axis=1) >= MIN_HOURS
    spread = np.where(enough, np.maximum(_robust_std(anomalies, axis=1), 1e-3), np.nan)
    scaled = anomalies / spread[:, None]
    neighbours = _correlated_neighbours(scaled)
    filled = _filled(scaled)
    weights = np.zeros((count, COUNT, COLUMNS, len(VIEWS)), np.float32)
    scale = np.full((count, COUNT, len(VIEWS)), np.nan)
    tail = np.full_like(scale, np.nan)
    for station in range(count):
        known = np.isfinite(scaled[station])
        hours = np.flatnonzero(known.any(axis=1) & (np.arange(len(known)) >= LOOK_BACK))
        if len(hours) < MIN_HOURS:
            continue
        hours = np.sort(rng.choice(hours, min(MAX_HOURS, len(hours)), replace=False))
        inputs = _inputs_at(filled, neighbours[station], station, hours)
        for variable in np.flatnonzero(enough[station]).tolist():
            rows = known[hours, variable]
            target = scaled[station, hours[rows], variable]
            used_inputs = inputs[variable][rows]
            inliers = np.ones(len(target), bool)
            for _ in range(2):
                weights[station, variable] = _ridge(used_inputs[inliers], target[inliers], variable)
                residuals = np.abs(target[:, None] - used_inputs @ weights[station, variable])
                scale[station, variable] = np.maximum(1.4826 * np.median(residuals, axis=0), 1e-3)
                inliers = (residuals / scale[station, variable] <= OUTLIERS).all(axis=1)
            tail[station, variable] = np.quantile(residuals / scale[station, variable], TAIL, axis=0)
    return ExpectedValues(tuple(station_ids), spread, neighbours, weights, scale, tail)


def _ridge(inputs: npt.NDArray[np.float32], target: npt.NDArray[np.float32], variable: int) -> npt.NDArray[np.float32]:
    """Return the weights (COLUMNS, views) of one station and variable; 0 for inputs that a view may not use."""
    gram, moment = (inputs.T @ inputs).astype(np.float64), (inputs.T @ target).astype(np.float64)
    weights = np.zeros((COLUMNS, len(VIEWS)), np.float32)
    for view, name in enumerate(VIEWS):
        used = _columns(name, variable)
        weights[used, view] = np.linalg.solve(gram[np.ix_(used, used)] + RIDGE * np.eye(len(used)), moment[used])
    return weights


def _inputs_at(
    filled: npt.NDArray[np.float32], neighbours: npt.NDArray[np.int64], station: int, hours: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Return the inputs (4, len(hours), COLUMNS) of one station at arbitrary hours, as `_inputs` does."""
    inputs = np.zeros((COUNT, len(hours), COLUMNS), np.float32)
    for i, lag in enumerate(OWN_LAGS):
        inputs[..., i * COUNT : (i + 1) * COUNT] = filled[station, hours - lag]
    for variable in range(COUNT):
        known = neighbours[variable] >= 0
        for i, lag in enumerate(NEIGHBOUR_LAGS):
            values = filled[neighbours[variable][None, :], (hours - lag)[:, None], variable]
            inputs[variable, :, OWN + i * NEIGHBOURS : OWN + (i + 1) * NEIGHBOURS] = np.where(known, values, 0)
    inputs[..., OWN + NEARBY :] = filled[station, hours]
    return inputs


def _correlated_neighbours(scaled: npt.NDArray) -> npt.NDArray[np.int64]:
    """Return rows (n, 4, NEIGHBOURS) of the stations with the best correlated anomalies, best first, -1 for none."""
    count, hours = scaled.shape[:2]
    sample = np.clip(scaled[:, :: max(1, hours // CORRELATED_HOURS)], -4, 4)
    best = np.full((count, COUNT, NEIGHBOURS), -1)
    for variable in range(COUNT):
        series = sample[..., variable].astype(np.float64)
        known = np.isfinite(series).astype(float)
        series = np.nan_to_num(series)
        both = known @ known.T
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = (series @ series.T) / np.sqrt((series**2 @ known.T) * (known @ (series**2).T))
        correlation[(both < 100) | ~np.isfinite(correlation)] = 0
        np.fill_diagonal(correlation, 0)
        order = np.argsort(-correlation, axis=1)[:, :NEIGHBOURS]
        correlated = np.take_along_axis(correlation, order, axis=1) > 0.1
        best[:, variable, : order.shape[1]] = np.where(correlated, order, -1)
    return best


def _robust_std(values: npt.NDArray, axis: int) -> npt.NDArray[np.float64]:
    """Estimate the standard deviation of values around 0 from the median of their absolute values."""
    with np.errstate(all="ignore"):
        known = np.isfinite(values).any(axis=axis, keepdims=True)
        middle = np.nanmedian(np.where(known, np.abs(values), 0), axis=axis)
    return np.asarray(1.4826 * middle, dtype=np.float64)
