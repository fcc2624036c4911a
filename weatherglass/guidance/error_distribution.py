"""How far off a corrected forecast may be: quantiles of its error that follow the recent errors and the spread.

The errors of past corrected forecasts are divided by an expected absolute error, a log-linear regression on the recent
absolute errors of the station and of the network, on the spread of the guidance, and on how unusual the forecast is.
The quantiles of these ratios, with recent ones counting more, times the expected absolute error of a new forecast are
its quantiles: normalized conformal prediction (Papadopoulos, Gammerman, Vovk 2008), weighted as in
`forecast.conformal_quantiles`.
"""

from __future__ import annotations

import numpy as np

from weatherglass.guidance.daily_series import Array, DailySeries
from weatherglass.guidance.memory_mean import MemoryMean

QUANTILES = np.arange(1, 100) / 100
MEMORIES = (5.0, 28.0, 90.0)
SHRINKAGE = 5.0
"""Days of the network's mean absolute error that the mean of a station is shrunk by."""
RATIO_MEMORY = 180.0
"""Days in which the weight of a ratio falls to 1/e."""
OUTLIER = 5.0
"""Multiple of the network's mean absolute error that an error counts at most."""
PENALTY_DAYS = 5.0
FLOOR = 0.1
"""Share of the network's mean absolute error that is added to each error and spread before its logarithm is taken."""


def scale_features(series: DailySeries, residual: Array, anomaly: Array, change: Array) -> Array:
    """Regressors (d, s, features) of the absolute error, of each day from the errors known when its forecast is made.

    Args:
        residual: (d, s) errors of the corrected forecasts; NaN where unknown or not corrected.
        anomaly, change: (d, s) of the guidance, as in `error_features`.
    """
    days, stations = residual.shape
    memories = [MemoryMean(stations, memory) for memory in MEMORIES]
    season = 2 * np.pi * series.day_of_year / 365.25
    rows = []
    for day in range(days):
        known = day - series.delay
        columns = []
        for memory in memories:
            if known >= 0:
                limit = OUTLIER * memory.network_mean() or np.inf
                memory.add(np.minimum(np.abs(residual[known]), limit))
            network = memory.network_mean()
            own = (memory.total + SHRINKAGE * network) / (memory.weight + SHRINKAGE)
            columns += [_log(own), _log(np.full(stations, network))]
        columns += [
            _log(np.nan_to_num(series.model_spread[day]) + FLOOR * memories[-1].network_mean()),
            np.abs(anomaly[day]),
            np.abs(change[day]),
            np.full(stations, np.sin(season[day])),
            np.full(stations, np.cos(season[day])),
        ]
        rows.append(np.stack(columns, axis=1))
    return np.stack(rows)


def error_quantiles(features: Array, residual: Array, age: Array, days: int, new_features: Array) -> Array:
    """Return the quantiles (k, QUANTILES) of the errors of k new forecasts.

    Args:
        features, residual, age: of n past forecasts: regressors (n, features), errors (n,), age in days (n,).
        days: on which the past forecasts were made.
        new_features: (k, features).
    """
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < 1e-9] = 1.0
    matrix = np.c_[(features - centre) / spread, np.ones(len(features))]
    penalty = np.diag([*[PENALTY_DAYS * len(features) / days] * features.shape[1], 0.0])
    target = _log(np.abs(residual) + FLOOR * np.abs(residual).mean())
    coefficients = np.linalg.solve(matrix.T @ matrix + penalty, matrix.T @ target)
    ratio = residual / np.exp(matrix @ coefficients)
    order = np.argsort(ratio)
    weight = np.exp(-age / RATIO_MEMORY)[order]
    share = (np.cumsum(weight) - 0.5 * weight) / weight.sum()
    quantiles = np.interp(QUANTILES, share, ratio[order])
    expected = np.exp(np.c_[(new_features - centre) / spread, np.ones(len(new_features))] @ coefficients)
    return np.asarray(expected[:, None] * quantiles)


def _log(values: Array) -> Array:
    return np.asarray(np.log(np.maximum(values, 1e-6)))
