"""What a station's own past and its neighbours let one expect of a reading.

A ridge regression per station, variable and *view*, on anomalies in units of each station's spread. A view is what
may be known: own past that ends 1, 3, 6, 12 or 24 hours ago (forecasts at those leads, which the neighbours' present
corrects), the neighbours alone, the own past alone, or the station's other variables. A sensor that lies slowly agrees
with its own past of an hour ago and not with that of yesterday, nor with its neighbours. The regression on the best
correlated neighbours is the spatial regression test of Hubbard et al. (2005), J. Atmos. Oceanic Technol. 22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from weatherglass.records import VARIABLES

LEADS = (1, 3, 6, 12, 24)
VIEWS = (*(f"lead{lead}" for lead in LEADS), "neighbours", "past", "others")
OWN_LAGS = (1, 2, 3, 4, 6, 8, 12, 14, 18, 24, 26, 30, 36, 48)
LOOK_BACK = max(OWN_LAGS)
NEIGHBOURS = 8
NEIGHBOUR_LAGS = (0, *LEADS)
HELD_HOURS = 3
"""A missing value is taken to be the last one for so long, then to be the usual one."""
MIN_HOURS = 720
"""Hours with a value below which nothing is expected of a variable."""
MAX_HOURS = 5_000
"""Hours that a regression rests on; more adds time only."""
RIDGE = 20.0
OUTLIERS = 5.0
"""Robust standard deviations beyond which an hour is left out of the second fit: history has faults, too."""
CORRELATED_HOURS = 5_000
TAIL = 0.995

COUNT = len(VARIABLES)
OWN = len(OWN_LAGS) * COUNT
AROUND = len(NEIGHBOUR_LAGS) * NEIGHBOURS
COLUMNS = OWN + AROUND + COUNT
CHUNK_HOURS = 400


def _columns(view: str, variable: int) -> npt.NDArray[np.int64]:
    """Which inputs a view may use, for one variable."""
    own = [i * COUNT + v for i, lag in enumerate(OWN_LAGS) for v in range(COUNT) if lag >= _lead(view)]
    around = [OWN + k for k in range(NEIGHBOURS)]
    if view.startswith("lead"):
        past = OWN + NEIGHBOUR_LAGS.index(_lead(view)) * NEIGHBOURS
        return np.array([*own, *around, *range(past, past + NEIGHBOURS)])
    if view == "past":
        return np.array(own)
    if view == "neighbours":
        return np.array(around)
    others = [OWN + AROUND + v for v in range(COUNT) if v != variable]
    return np.array([*own, *around, *others])


def _lead(view: str) -> int:
    return int(view.removeprefix("lead")) if view.startswith("lead") else {"past": 1, "others": 3}.get(view, 99)


@dataclass(frozen=True)
class ExpectedValues:
    """Regressions of n stations, known by their ids.

    Attributes:
        spread: (n, 4) robust standard deviation of the anomalies; NaN where too few hours were known.
        neighbours: (n, 4, NEIGHBOURS) rows of the best correlated stations, -1 where there are fewer.
        weights: (n, 4, COLUMNS, views).
        scale: (n, 4, views) robust standard deviation of what is left, in units of `spread`; NaN where not fitted.
        tail: (n, 4, views) what is left beyond `TAIL` of all hours, in units of `scale`: a normal sensor's is 2.8,
            that of a sensor with many faults, or of a place with wild weather, much more.
    """

    station_ids: tuple[str, ...]
    spread: npt.NDArray[np.float64]
    neighbours: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float64]
    tail: npt.NDArray[np.float64]

    def expected(self, anomalies: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float32]:
        """Expected anomalies (n, hours - first, 4, views) from anomalies (n, hours, 4), rows as `station_ids`.

        The hours from `first` on, which needs `LOOK_BACK` hours before it to see all. NaN where not fitted.
        """
        parts = []
        filled = _filled(anomalies / self.spread[:, None])
        for begin in range(first, anomalies.shape[1], CHUNK_HOURS):
            end = min(begin + CHUNK_HOURS, anomalies.shape[1])
            inputs = _inputs(filled, self.neighbours, begin, end)
            parts.append(np.matmul(inputs, self.weights).transpose(0, 2, 1, 3))
        usual = np.concatenate(parts, axis=1) * self.spread[:, None, :, None]
        return np.where(np.isfinite(self.scale)[:, None], usual, np.nan).astype(np.float32)

    def residuals(self, anomalies: npt.NDArray[np.float32], first: int) -> npt.NDArray[np.float32]:
        """How far anomalies are from what is expected, in units of the usual distance; as `expected`."""
        left = anomalies[:, first:, :, None] - self.expected(anomalies, first)
        return np.asarray(left / (self.scale * self.spread[..., None])[:, None], dtype=np.float32)


def _filled(anomalies: npt.NDArray) -> npt.NDArray[np.float32]:
    """Without holes: held for a few hours, then 0, the usual value."""
    known = np.isfinite(anomalies)
    moment = np.arange(anomalies.shape[1])[None, :, None]
    newest = np.maximum.accumulate(np.where(known, moment, -HELD_HOURS - 1), axis=1)
    held = np.take_along_axis(anomalies, np.maximum(newest, 0), axis=1)
    return np.where(moment - newest <= HELD_HOURS, np.nan_to_num(held), 0).astype(np.float32)


def _inputs(
    filled: npt.NDArray[np.float32], neighbours: npt.NDArray[np.int64], begin: int, end: int
) -> npt.NDArray[np.float32]:
    """Inputs (n, 4, hours, COLUMNS) of hours `begin` to `end`; 0 before the first hour and for no neighbour."""
    count, hours = len(filled), np.arange(begin, end)
    made = np.zeros((count, COUNT, len(hours), COLUMNS), np.float32)
    for i, lag in enumerate(OWN_LAGS):
        then = hours - lag
        values = np.where((then >= 0)[None, :, None], filled[:, np.maximum(then, 0)], 0)
        made[..., i * COUNT : (i + 1) * COUNT] = values[:, None]
    variable = np.arange(COUNT)[None, :, None]
    for i, lag in enumerate(NEIGHBOUR_LAGS):
        then = hours - lag
        known = (then >= 0)[None, None, :, None] & (neighbours >= 0)[:, :, None, :]
        # (n, 4, NEIGHBOURS, hours)
        values = filled[neighbours[..., None], np.maximum(then, 0), variable[..., None]].transpose(0, 1, 3, 2)
        made[..., OWN + i * NEIGHBOURS : OWN + (i + 1) * NEIGHBOURS] = np.where(known, values, 0)
    made[..., OWN + AROUND :] = filled[:, None, begin:end]
    return made


def fit(station_ids: Sequence[str], anomalies: npt.NDArray[np.float32], seed: int) -> ExpectedValues:
    """Fit on anomalies (n, hours, 4) of history, NaN where missing or not to be used."""
    with threadpool_limits(1):  # products this small take twenty times as long on threads that wait for each other
        return _fit(station_ids, anomalies, seed)


def _fit(station_ids: Sequence[str], anomalies: npt.NDArray[np.float32], seed: int) -> ExpectedValues:
    rng = np.random.default_rng(seed)
    count = len(station_ids)
    enough = np.isfinite(anomalies).sum(axis=1) >= MIN_HOURS
    spread = np.where(enough, np.maximum(_spread(anomalies, axis=1), 1e-3), np.nan)
    scaled = anomalies / spread[:, None]
    neighbours = _best_neighbours(scaled)
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
            seen = inputs[variable][rows]
            usual = np.ones(len(target), bool)
            for _ in range(2):
                weights[station, variable] = _ridge(seen[usual], target[usual], variable)
                left = np.abs(target[:, None] - seen @ weights[station, variable])
                scale[station, variable] = np.maximum(1.4826 * np.median(left, axis=0), 1e-3)
                usual = (left / scale[station, variable] <= OUTLIERS).all(axis=1)
            tail[station, variable] = np.quantile(left / scale[station, variable], TAIL, axis=0)
    return ExpectedValues(tuple(station_ids), spread, neighbours, weights, scale, tail)


def _ridge(seen: npt.NDArray[np.float32], target: npt.NDArray[np.float32], variable: int) -> npt.NDArray[np.float32]:
    """Weights (COLUMNS, views) of one station and variable, 0 for what a view may not use."""
    gram, moment = (seen.T @ seen).astype(np.float64), (seen.T @ target).astype(np.float64)
    made = np.zeros((COLUMNS, len(VIEWS)), np.float32)
    for view, name in enumerate(VIEWS):
        used = _columns(name, variable)
        made[used, view] = np.linalg.solve(gram[np.ix_(used, used)] + RIDGE * np.eye(len(used)), moment[used])
    return made


def _inputs_at(
    filled: npt.NDArray[np.float32], neighbours: npt.NDArray[np.int64], station: int, hours: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Inputs (4, len(hours), COLUMNS) of one station at scattered hours, as `_inputs` has them."""
    made = np.zeros((COUNT, len(hours), COLUMNS), np.float32)
    for i, lag in enumerate(OWN_LAGS):
        made[..., i * COUNT : (i + 1) * COUNT] = filled[station, hours - lag]
    for variable in range(COUNT):
        known = neighbours[variable] >= 0
        for i, lag in enumerate(NEIGHBOUR_LAGS):
            values = filled[neighbours[variable][None, :], (hours - lag)[:, None], variable]
            made[variable, :, OWN + i * NEIGHBOURS : OWN + (i + 1) * NEIGHBOURS] = np.where(known, values, 0)
    made[..., OWN + AROUND :] = filled[station, hours]
    return made


def _best_neighbours(scaled: npt.NDArray) -> npt.NDArray[np.int64]:
    """Rows (n, 4, NEIGHBOURS) of the stations whose anomalies go with a station's, best first, -1 for none."""
    count, hours = scaled.shape[:2]
    sample = np.clip(scaled[:, :: max(1, hours // CORRELATED_HOURS)], -4, 4)
    best = np.full((count, COUNT, NEIGHBOURS), -1)
    for variable in range(COUNT):
        series = sample[..., variable].astype(np.float64)
        known = np.isfinite(series).astype(float)
        series = np.nan_to_num(series)
        both = known @ known.T
        with np.errstate(invalid="ignore", divide="ignore"):
            goes_with = (series @ series.T) / np.sqrt((series**2 @ known.T) * (known @ (series**2).T))
        goes_with[(both < 100) | ~np.isfinite(goes_with)] = 0
        np.fill_diagonal(goes_with, 0)
        order = np.argsort(-goes_with, axis=1)[:, :NEIGHBOURS]
        found = np.take_along_axis(goes_with, order, axis=1) > 0.1
        best[:, variable, : order.shape[1]] = np.where(found, order, -1)
    return best


def _spread(values: npt.NDArray, axis: int) -> npt.NDArray[np.float64]:
    """Standard deviation by the median of absolute values, for values around 0."""
    with np.errstate(all="ignore"):
        known = np.isfinite(values).any(axis=axis, keepdims=True)
        middle = np.nanmedian(np.where(known, np.abs(values), 0), axis=axis)
    return np.asarray(1.4826 * middle, dtype=np.float64)
