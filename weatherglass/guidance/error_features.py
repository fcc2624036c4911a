"""What is known about the error of guidance when a forecast is made, as regressors of that error.

All regressors of a day use observations up to `DailySeries.delay` days before it, and guidance up to the day itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from weatherglass.guidance.daily_series import Array, DailySeries
from weatherglass.guidance.memory_mean import MemoryMean

MEMORIES = (2.0, 5.0, 12.0, 28.0, 90.0)
"""Time constants of the mean errors, in days: recent weather, and the lasting bias of a site."""
BASE_MEMORY, USUAL, LASTING = 5.0, 12.0, 28.0
"""The mean error to which the correction falls back; those that the newest error, and the slope, are compared with."""
GUIDANCE_MEMORY = 28.0
"""Time constant of the mean guidance, in days, of which the anomaly is the difference."""
SHRINKAGE = 2.0
"""Days without an error that a mean error is shrunk by: n days count n / (n + 2)."""
OUTLIER = 5.0
"""Multiple of the network's mean absolute departure to which an error is limited before it enters a mean: one wrong
observation must not dominate it, and a new bias is learned all the same."""
KERNELS = {"near": (60.0, 300.0), "region": (200.0, 600.0)}
"""Scales of Gaussian weights of other stations: distance in km, difference of elevation in m."""
KERNEL_SHRINKAGE = 0.5
"""Weight without an error in a mean over other stations."""
SLOPE_SHRINKAGE = 300.0
"""Squared anomaly that the slope of the error on the anomaly of the guidance is shrunk by."""


def kernel_weights(series: DailySeries) -> dict[str, Array]:
    """Weights (s, s) of the other stations for each station."""
    height = np.abs(series.elevations[:, None] - series.elevations)
    weights = {}
    for name, (distance_scale, height_scale) in KERNELS.items():
        weight = np.exp(-((series.kilometres / distance_scale) ** 2) - (height / height_scale) ** 2)
        np.fill_diagonal(weight, 0.0)
        weights[name] = weight
    return weights


def error_features(series: DailySeries) -> tuple[tuple[str, ...], Array, Array]:
    """Return the names, the regressors (d, s, features), and the base (d, s): the mean error of `BASE_MEMORY`."""
    past = _Past(series)
    rows: list[dict[str, Array]] = []
    for day in range(len(series.mean)):
        if day >= series.delay:
            past.add_error(day - series.delay)
        rows.append(past.regressors(day))
        past.add_guidance(day)
    features = np.stack([np.stack(list(columns.values()), axis=1) for columns in rows])
    names = tuple(rows[0])
    return names, features, features[:, :, names.index(f"own_{BASE_MEMORY:g}")]


class _Past:
    """What is known before a day: the guidance of all days before, and the errors of those `delay` days before."""

    def __init__(self, series: DailySeries):
        stations = series.mean.shape[1]
        self._series, self._kernels = series, kernel_weights(series)
        self._errors = {memory: MemoryMean(stations, memory) for memory in MEMORIES}
        self._guidance = MemoryMean(stations, GUIDANCE_MEMORY)
        self._scale = MemoryMean(stations, LASTING)
        self._slope = _SlopeOfError(self._kernels["near"])
        self._newest = np.full(stations, np.nan)

    def add_error(self, day: int) -> None:
        error = self._limited(self._series.error[day])
        self._slope.learn(day, error - self._errors[LASTING].shrunk(SHRINKAGE))
        for mean in self._errors.values():
            mean.add(error)
        self._newest = error - self._errors[USUAL].shrunk(SHRINKAGE)

    def _limited(self, error: Array) -> Array:
        """The errors of a day, limited to the usual error of the station and a multiple of the usual departure."""
        usual = self._errors[LASTING].shrunk(SHRINKAGE)
        departure = error - usual
        limit = OUTLIER * self._scale.network_mean() or np.inf
        self._scale.add(np.minimum(np.abs(departure), limit))
        return np.asarray(usual + np.clip(departure, -limit, limit))

    def add_guidance(self, day: int) -> None:
        self._slope.remember(day, self._series.mean[day] - self._guidance.mean())
        self._guidance.add(self._series.mean[day])

    def regressors(self, day: int) -> dict[str, Array]:
        series, known = self._series, day - self._series.delay
        guidance = series.mean[day]
        anomaly = guidance - self._guidance.mean()
        columns = _mean_errors(self._errors, self._kernels)
        columns["newest"] = np.nan_to_num(self._newest)
        columns |= {f"newest_{name}": _kernel_mean(weight, self._newest) for name, weight in self._kernels.items()}
        columns |= {
            "anomaly": np.nan_to_num(anomaly),
            "anomaly_region": _kernel_mean(self._kernels["region"], anomaly),
            "slope_anomaly": self._slope.expected(anomaly),
            "change": np.nan_to_num(guidance - series.mean[known]) if known >= 0 else np.zeros(guidance.shape),
            "spread": np.nan_to_num(series.model_spread[day]),
        }
        columns |= _place(series) | _season(series, day, guidance)
        for name in ("anomaly", "change"):
            columns[f"{name}_elevation"] = columns[name] * columns["elevation"]
        if series.guidance.shape[2] > 1:
            deviation = np.nan_to_num(series.guidance[day] - guidance[:, None])
            columns |= {f"model_{model}": deviation[:, model] for model in range(deviation.shape[1])}
        return columns


def _mean_errors(memories: Mapping[float, MemoryMean], kernels: Mapping[str, Array]) -> dict[str, Array]:
    columns = {}
    for memory, mean in memories.items():
        errors = mean.mean()
        known = errors[np.isfinite(errors)]
        columns[f"own_{memory:g}"] = mean.shrunk(SHRINKAGE)
        for name, weight in kernels.items():
            columns[f"{name}_{memory:g}"] = _kernel_mean(weight, errors)
        columns[f"all_{memory:g}"] = np.full(errors.shape, known.mean() if len(known) else 0.0)
    return columns


def _kernel_mean(weight: Array, row: Array) -> Array:
    known = np.isfinite(row)
    return np.asarray(weight[:, known] @ row[known] / (weight[:, known].sum(axis=1) + KERNEL_SHRINKAGE))


def _place(series: DailySeries) -> dict[str, Array]:
    """Degrees and 500 m from the centre of the network."""
    latitude = np.array([at.latitude for at in series.stations], dtype=float)
    longitude = np.array([at.longitude for at in series.stations], dtype=float)
    return {
        "latitude": _from_centre(latitude),
        "longitude": _from_centre(longitude),
        "elevation": (series.elevations - series.elevations.mean()) / 500.0,
    }


def _from_centre(degrees: Array) -> Array:
    """The difference from the mean; 0 where unknown."""
    known = degrees[np.isfinite(degrees)]
    return np.asarray(np.nan_to_num(degrees - (known.mean() if len(known) else 0.0)))


def _season(series: DailySeries, day: int, guidance: Array) -> dict[str, Array]:
    angle = 2 * np.pi * series.day_of_year[day] / 365.25
    columns = {"guidance": np.nan_to_num(guidance)}
    for name, value in (("sin", np.sin(angle)), ("cos", np.cos(angle))):
        columns[name] = np.full(guidance.shape, value)
        columns[f"guidance_{name}"] = columns["guidance"] * value
    return columns


class _SlopeOfError:
    """How much the error grows with the anomaly of the guidance, for each station with the help of near ones."""

    def __init__(self, near: Array):
        self._pooling = np.eye(len(near)) + 0.5 * near
        self._product, self._square = np.zeros(len(near)), np.zeros(len(near))
        self._anomalies: dict[int, Array] = {}

    def remember(self, day: int, anomaly: Array) -> None:
        self._anomalies[day] = anomaly

    def learn(self, day: int, error: Array) -> None:
        """Learn from the error of a day, less its usual error."""
        anomaly = self._anomalies.pop(day)
        product = anomaly * error
        known = np.isfinite(product)
        self._product += np.where(known, product, 0.0)
        self._square += np.where(known, anomaly**2, 0.0)

    def expected(self, anomaly: Array) -> Array:
        slope = (self._pooling @ self._product) / (self._pooling @ self._square + SLOPE_SHRINKAGE)
        return np.asarray(np.nan_to_num(slope * anomaly))
