"""Damped anomaly: climatology plus a damped fraction of the newest anomaly; the reference for skill scores.

forecast(lead) = climatology(valid time) + rho(lead) x anomaly(base hour), where rho is the slope of the regression of
the anomaly on the anomaly `lead` hours before: the AR(1)-like damped persistence of Van den Dool (2007), Empirical
Methods in Short-Term Climate Prediction, chapter 8, with a free rho for each lead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.records import LEADS, VARIABLES

MAX_AGE = 12
"""Maximum age of an anomaly in hours; if it is older, the forecast is the climatology."""

_POOL_HOURS = 720.0
"""Weight of the pooled data of all stations in a station's rho, in hours of the station's own data."""


@dataclass(frozen=True)
class DampedAnomaly:
    """Damping factors.

    Attributes:
        rho: (stations, lags 0..36 h, variables) between 0 and 1; stations in the order of the climatology.
    """

    rho: npt.NDArray[np.float64]

    def damp(
        self, rows: npt.NDArray[np.int64], newest: npt.NDArray, age: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the damped anomalies (n, leads, variables) of newest anomalies (n, variables) `age` hours old."""
        lag = np.array(LEADS)[None, :, None] + age[:, None, :]
        rho = self.rho[rows[:, None, None], lag, np.arange(len(VARIABLES))[None, None, :]]
        return (rho * np.nan_to_num(newest)[:, None, :]).astype(np.float32)


def newest_anomaly(past: npt.NDArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the newest known anomaly (n, k) and its age in hours (n, k) from pasts (n, lags, k), lag 0 first.

    Without a value within `MAX_AGE` hours, the anomaly is NaN and its age `MAX_AGE`.
    """
    recent = past[:, : MAX_AGE + 1]
    known = np.isfinite(recent)
    age = np.where(known.any(axis=1), known.argmax(axis=1), MAX_AGE)
    return np.take_along_axis(recent, age[:, None, :], axis=1)[:, 0], age


def fit(anomalies: npt.NDArray[np.float32]) -> DampedAnomaly:
    """Fit rho to anomalies (stations, hours, variables) with NaN where missing.

    A station's rho is drawn towards that of all stations together, with the weight of `_POOL_HOURS` hours.
    """
    longest = LEADS[-1] + MAX_AGE
    count = len(VARIABLES)
    series = anomalies[..., :count].astype(np.float64)
    products = np.zeros((series.shape[0], longest + 1, count))
    squares = np.zeros_like(products)
    for lag in range(longest + 1):
        then, now = series[:, : series.shape[1] - lag], series[:, lag:]
        both = np.isfinite(then) & np.isfinite(now)
        products[:, lag] = np.where(both, then * now, 0).sum(axis=1)
        squares[:, lag] = np.where(both, then * then, 0).sum(axis=1)
    pooled = products.sum(axis=0) / np.maximum(squares.sum(axis=0), 1e-9)
    hours = np.isfinite(series).sum(axis=1)[:, None, :]
    weight = squares / np.maximum(hours, 1) * _POOL_HOURS
    rho = (products + weight * pooled) / np.maximum(squares + weight, 1e-9)
    return DampedAnomaly(np.clip(np.where(squares > 0, rho, pooled), 0.0, 1.0))


def error_quantiles(
    anomalies: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], damping: DampedAnomaly, levels: tuple[float, ...]
) -> npt.NDArray[np.float64]:
    """Return quantiles (lags 0..36 h, variables, levels) of the damped anomaly's absolute error on held-out hours.

    The last lag holds the error of the climatology, which is the forecast for a station without a recent value.
    NaN if there are no values.

    Args:
        anomalies: (stations, hours, variables).
        rows: (stations,) rows of the stations in the damping.
    """
    longest = LEADS[-1] + MAX_AGE
    count = len(VARIABLES)
    series = anomalies[..., :count]
    quantiles = np.full((longest + 1, count, len(levels)), np.nan)
    for lag in range(longest + 1):
        then, now = series[:, : series.shape[1] - lag], series[:, lag:]
        damped = damping.rho[rows, lag][:, None, :] * then if lag < longest else np.zeros_like(then)
        for variable in range(count):
            error = np.abs(now[..., variable] - damped[..., variable])
            error = error[np.isfinite(error)]
            if len(error):
                quantiles[lag, variable] = np.quantile(error, levels)
    return quantiles
