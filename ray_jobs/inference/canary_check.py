"""Validation of a model before it is activated, on a canary batch: the inputs of the last predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.detector import AnomalyDetector, DetectorInput
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import Forecast, Forecaster
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.guidance.recent_errors import REGRESSORS
from weatherglass.history.grid import HourGrid
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import LEADS, VARIABLES

ATTEMPTS = 3
"""The fastest attempt counts, because the machine may be busy with other work."""
MAX_SECONDS = 2.0
"""Time limit for a canary batch; a batch of the stations of one machine takes some tens of milliseconds."""
MAX_DISTANCE = 1.0
"""Mean distance from the active model, in half-widths of its 90 % interval. Two correct models agree far more closely;
a model trained on other units or on shifted hours does not."""
MAX_EXTRA_FLAG_SHARE = 0.5
"""Share of readings that a detector may flag in addition to those that the active detector flags."""
MIN_READINGS = 4
"""The share of flagged readings is not checked for fewer readings than this."""
MAX_EXCESS = 0.75
"""How far a correction by guidance may be outside of 0 to the regressor that causes it, in half-widths of the 90 %
interval. The slopes of trained models are between -0.1 and 1.3."""
MIN_HALF_WIDTH = 1e-6
"""Lower bound of a half-width, which avoids a division by zero."""

T = TypeVar("T")


class CanaryFailure(StrEnum):
    """Why a forecast or a model is rejected."""

    WRONG_SHAPE = "wrong_shape"
    NOT_FINITE = "not_finite"
    OUTSIDE_INTERVAL = "outside_interval"
    OUT_OF_RANGE = "out_of_range"
    TOO_SLOW = "too_slow"
    TOO_DISTANT = "too_distant"
    WRONG_SLOPE = "wrong_slope"
    TOO_MANY_FLAGS = "too_many_flags"


class ModelRejected(ValueError):
    """A model failed its canary check. `reason` is the code, the message has the figures."""

    def __init__(self, reason: CanaryFailure, message: str):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class ForecastDefect:
    """A forecast that must not be published; `detail` completes "its forecast has …"."""

    reason: CanaryFailure
    detail: str


@dataclass(frozen=True)
class CanaryBatch:
    """A batch to validate a model with: (station row, base hour) pairs of a grid, and readings to check."""

    grid: HourGrid
    rows: Sequence[int]
    bases: Sequence[int]
    readings: Sequence[DetectorInput] = ()

    @classmethod
    def of_grid(cls, grid: HourGrid | None) -> CanaryBatch | None:
        """Every station of a grid at its last hour; None for an empty grid."""
        if grid is None or not grid.stations:
            return None
        count = len(grid.stations)
        return cls(grid, range(count), [grid.values.shape[1] - 1] * count)


@dataclass(frozen=True)
class ForecasterCheck:
    """A passed check. `distance`: the largest over the variables in half-widths, None without an active model."""

    forecasts: int
    seconds: float
    distance: float | None

    def __str__(self) -> str:
        text = f"{self.forecasts} forecasts in {self.seconds * 1000:.0f} ms"
        return text if self.distance is None else f"{text}, {self.distance:.2f} half-widths from the active model"


@dataclass(frozen=True)
class DetectorCheck:
    """A passed check."""

    flagged: int
    readings: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.flagged} of {self.readings} readings flagged in {self.seconds * 1000:.0f} ms"


def find_defect(forecast: Forecast) -> ForecastDefect | None:
    """The first defect of a forecast: shape, values not finite, outside their interval or the physical range."""
    shape = (len(forecast.station_ids), len(LEADS), len(VARIABLES))
    bounds = [*forecast.lower.values(), *forecast.upper.values()]
    if any(array.shape != shape for array in (forecast.values, *bounds)):
        return ForecastDefect(CanaryFailure.WRONG_SHAPE, f"arrays of another shape than {shape}")
    if not all(np.isfinite(array).all() for array in (forecast.values, *bounds)):
        return ForecastDefect(CanaryFailure.NOT_FINITE, "values that are not finite")
    for level, lower in forecast.lower.items():
        if (lower > forecast.values).any() or (forecast.values > forecast.upper[level]).any():
            return ForecastDefect(CanaryFailure.OUTSIDE_INTERVAL, f"values outside their {level:.0%} interval")
    for axis, name in enumerate(VARIABLES):
        values, limits = forecast.values[..., axis], RANGE_LIMITS[name]
        if values.size and (values.min() < limits.low or values.max() > limits.high):
            return ForecastDefect(
                CanaryFailure.OUT_OF_RANGE,
                f"{name} from {values.min():g} to {values.max():g}, allowed is {limits.low:g} to {limits.high:g}",
            )
    return None


def check_forecaster(model: Forecaster, active: Forecaster, canary: CanaryBatch) -> ForecasterCheck:
    """Validate a forecaster with the canary batch.

    The distance from the active forecaster is not checked while that is persistence, which is not a trained model.

    Raises:
        ModelRejected: its forecast has a defect, took too long, or is too far from that of the active forecaster.
            Exceptions of the model itself propagate.
    """
    forecast, seconds = _timed(lambda: model.forecast(canary.grid, canary.rows, canary.bases))
    if defect := find_defect(forecast):
        raise ModelRejected(defect.reason, f"its forecast of the canary batch has {defect.detail}")
    if isinstance(active, PersistenceForecaster):
        return ForecasterCheck(len(canary.rows), seconds, None)
    reference = active.forecast(canary.grid, canary.rows, canary.bases)
    return ForecasterCheck(len(canary.rows), seconds, _check_distance(forecast, reference))


def _check_distance(forecast: Forecast, reference: Forecast) -> float:
    """The largest mean distance of a variable from a reference, in half-widths of its interval.

    Raises:
        ModelRejected: it is too large.
    """
    half_width = _half_width(reference)
    distance = np.abs(forecast.values - reference.values).mean(axis=(0, 1)) / half_width.mean(axis=(0, 1))
    worst = int(np.argmax(distance))
    if distance[worst] > MAX_DISTANCE:
        raise ModelRejected(
            CanaryFailure.TOO_DISTANT,
            f"its {VARIABLES[worst].replace('_', ' ')} forecast is on average {distance[worst]:.1f} half-widths of the "
            f"90 % interval from that of the active model; the limit is {MAX_DISTANCE:g}",
        )
    return float(distance[worst])


def _half_width(forecast: Forecast) -> npt.NDArray[np.float64]:
    """(n, leads, variables) of the 90 % interval."""
    return np.maximum((forecast.upper[0.9] - forecast.lower[0.9]) / 2, MIN_HALF_WIDTH)


@dataclass(frozen=True)
class GuidanceCheck:
    """A passed check."""

    forecasts: int

    def __str__(self) -> str:
        return f"{self.forecasts} forecasts"


def check_guidance(
    model: GuidanceCombination | None, _active: GuidanceCombination | None, canary: CanaryBatch
) -> GuidanceCheck:
    """Validate a combination with guidance that agrees with the forecast of persistence, without recent errors.

    Then with one regressor at a time half an interval above and below: the correction may follow it partly or fully.

    Raises:
        ModelRejected: the combined forecast has a defect, differs from what both agree on, or goes against a regressor
            or far beyond it. Exceptions of the model itself propagate.
    """
    if model is None:
        return GuidanceCheck(0)
    forecast = PersistenceForecaster().forecast(canary.grid, canary.rows, canary.bases)
    shape = (*forecast.values.shape, len(REGRESSORS))
    usable = np.ones((shape[0], shape[2]), dtype=bool)
    combined = model.corrected(forecast, np.zeros(shape), usable)
    if defect := find_defect(combined):
        raise ModelRejected(defect.reason, f"its forecast of the canary batch has {defect.detail}")
    _check_distance(combined, forecast)
    half_width = _half_width(forecast)
    for index, name in enumerate(REGRESSORS):
        for step in (half_width, -half_width):
            regressors = np.zeros(shape)
            regressors[..., index] = step
            followed = (model.corrected(forecast, regressors, usable).values - combined.values) / step
            excess = np.maximum(np.maximum(-followed, followed - 1), 0).mean(axis=0).max(axis=0)
            worst = int(np.argmax(excess))
            if excess[worst] > MAX_EXCESS:
                raise ModelRejected(
                    CanaryFailure.WRONG_SLOPE,
                    f"its correction of {VARIABLES[worst].replace('_', ' ')} is {excess[worst]:.1f} half-widths of the "
                    f"90 % interval outside of 0 to the {name}; the limit is {MAX_EXCESS:g}",
                )
    return GuidanceCheck(shape[0])


def check_detector(model: AnomalyDetector, active: AnomalyDetector, canary: CanaryBatch) -> DetectorCheck:
    """Validate a detector with the readings of the canary batch.

    Raises:
        ModelRejected: it is too slow, or flags far more readings than the active detector. Exceptions of the model
            itself propagate.
    """
    anomalies, seconds = _timed(lambda: model.check_many(canary.readings, canary.grid, "canary"))
    flagged = sum(anomaly.is_anomaly for anomaly in anomalies)
    reference = sum(anomaly.is_anomaly for anomaly in active.check_many(canary.readings, canary.grid, "canary"))
    count = len(anomalies)
    if count >= MIN_READINGS and flagged - reference > MAX_EXTRA_FLAG_SHARE * count:
        raise ModelRejected(
            CanaryFailure.TOO_MANY_FLAGS,
            f"it flags {flagged} of {count} current readings, the active detector {reference}",
        )
    return DetectorCheck(flagged, count, seconds)


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    """The result and the seconds of the first attempt within the time limit.

    Raises:
        ModelRejected: no attempt was within the time limit.
    """
    fastest = float("inf")
    for _ in range(ATTEMPTS):
        began = time.perf_counter()
        result = run()
        fastest = min(fastest, time.perf_counter() - began)
        if fastest <= MAX_SECONDS:
            return result, fastest
    raise ModelRejected(CanaryFailure.TOO_SLOW, f"a canary batch takes {fastest:.1f} s; the limit is {MAX_SECONDS:g} s")
