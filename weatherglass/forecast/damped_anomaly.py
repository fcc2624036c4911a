"""The damped anomaly: climatology plus what remains of the present anomaly, the baseline to beat.

forecast(lead) = climatology(valid time) + rho(lead) x anomaly(base hour), rho being the slope of the anomaly on the
one `lead` hours before: the AR(1)-like damped persistence of Van den Dool (2007), Empirical Methods in Short-Term
Climate Prediction, chapter 8, with a free rho for each lead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.records import LEADS, VARIABLES

MAX_AGE = 12
"""Hours: an anomaly older than this says nothing; the forecast is then the climatology."""

_POOL_HOURS = 720.0
"""Weight, in hours of its own data, of all stations together in a station's rho."""


@dataclass(frozen=True)
class DampedAnomaly:
    """rho (stations, lag 0..36 h, variables) between 0 and 1; stations as in the climatology."""

    rho: npt.NDArray[np.float64]

    def anomalies(
        self, rows: npt.NDArray[np.int64], present: npt.NDArray, age: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """What remains (n, leads, variables) of present anomalies (n, variables) that are `age` hours old."""
        lag = np.array(LEADS)[None, :, None] + age[:, None, :]
        rho = self.rho[rows[:, None, None], lag, np.arange(len(VARIABLES))[None, None, :]]
        return (rho * np.nan_to_num(present)[:, None, :]).astype(np.float32)


def present_anomaly(past: npt.NDArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Newest known anomaly (n, k) and its age in hours (n, k), from pasts (n, lags, k), lag 0 first.

    Nothing within `MAX_AGE` hours: NaN, with age `MAX_AGE`.
    """
    recent = past[:, : MAX_AGE + 1]
    known = np.isfinite(recent)
    age = np.where(known.any(axis=1), known.argmax(axis=1), MAX_AGE)
    return np.take_along_axis(recent, age[:, None, :], axis=1)[:, 0], age


def fit(anomalies: npt.NDArray[np.float32]) -> DampedAnomaly:
    """rho from anomalies (stations, hours, channels) with NaN where missing."""
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
    """Quantiles (lags 0..36, variables, levels) of the damped anomaly's absolute error over held-out anomalies.

    `anomalies` (stations, hours, channels), `rows` the stations' rows in the damping. The last lag holds the error of
    the climatology itself, which is what a station without any recent value gets. NaN where nothing was known.
    """
    longest = LEADS[-1] + MAX_AGE
    count = len(VARIABLES)
    series = anomalies[..., :count]
    made = np.full((longest + 1, count, len(levels)), np.nan)
    for lag in range(longest + 1):
        then, now = series[:, : series.shape[1] - lag], series[:, lag:]
        kept = damping.rho[rows, lag][:, None, :] * then if lag < longest else np.zeros_like(then)
        for variable in range(count):
            error = np.abs(now[..., variable] - kept[..., variable])
            error = error[np.isfinite(error)]
            if len(error):
                made[lag, variable] = np.quantile(error, levels)
    return made
