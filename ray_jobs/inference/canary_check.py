"""The trial of a model before it serves, on a canary batch: the inputs of the last answers, asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from weatherglass.anomaly.detector import AnomalyDetector, Case
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import Forecast, Forecaster
from weatherglass.history.grid import HourGrid
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.records import LEADS, VARIABLES

TRIES = 3
"""The fastest of these counts, since the machine may be busy with something else."""
SLOWEST_SECONDS = 2.0
"""For a canary batch; a batch of one machine's stations takes some tens of milliseconds."""
FARTHEST = 1.0
"""Mean distance from the model in service, in half-widths of its 90 % interval. Two models that are both right agree
far closer; one that has learnt other units, or another hour, does not."""
FLAGGED_MORE = 0.5
"""Share of readings that a detector may flag beyond what the one in service flags."""
FEW = 4
"""Fewer readings than this say nothing about a share."""

T = TypeVar("T")


class ModelRejected(ValueError):
    """A model that failed its trial; the message says how."""


@dataclass(frozen=True)
class CanaryBatch:
    """A batch to try a model on: (station row, base hour) pairs of a grid, and readings to be judged."""

    grid: HourGrid
    rows: Sequence[int]
    bases: Sequence[int]
    cases: Sequence[Case] = ()

    @classmethod
    def of_grid(cls, grid: HourGrid | None) -> CanaryBatch | None:
        """Every station of a grid from its last hour; None while nothing is known."""
        if grid is None or not grid.stations:
            return None
        count = len(grid.stations)
        return cls(grid, range(count), [grid.values.shape[1] - 1] * count)


def fault(forecast: Forecast) -> str | None:
    """What is wrong with a forecast: shape, values that are not finite or not physical, intervals out of order."""
    shape = (len(forecast.station_ids), len(LEADS), len(VARIABLES))
    bounds = [*forecast.lower.values(), *forecast.upper.values()]
    if any(array.shape != shape for array in (forecast.values, *bounds)):
        return f"expected arrays of shape {shape}"
    if not all(np.isfinite(array).all() for array in (forecast.values, *bounds)):
        return "numbers that are not finite"
    for level, lower in forecast.lower.items():
        if (lower > forecast.values).any() or (forecast.values > forecast.upper[level]).any():
            return f"values outside their own interval at {level:.0%}"
    for axis, name in enumerate(VARIABLES):
        values, limits = forecast.values[..., axis], LIMITS[name]
        if values.size and (values.min() < limits.low or values.max() > limits.high):
            return f"{name} from {values.min():g} to {values.max():g}, allowed is {limits.low:g} to {limits.high:g}"
    return None


def check_forecaster(model: Forecaster, serving: Forecaster, canary: CanaryBatch) -> str:
    """Ask a forecaster for the canary batch; the outcome in words.

    Raises:
        RefusedModel: its answer is at fault, came too slowly, or is far from what the model in service says. (There
            is no distance from persistence, which is no model.) Whatever the model itself raises comes through.
    """
    made, seconds = _timed(lambda: model.forecast(canary.grid, canary.rows, canary.bases))
    if wrong := fault(made):
        raise ModelRejected(f"its forecast from the present hours: {wrong}")
    said = f"{len(canary.rows)} forecasts in {seconds * 1000:.0f} ms"
    if isinstance(serving, PersistenceForecaster):
        return said
    old = serving.forecast(canary.grid, canary.rows, canary.bases)
    half = np.maximum((old.upper[0.9] - old.lower[0.9]) / 2, 1e-6)
    distance = np.abs(made.values - old.values).mean(axis=(0, 1)) / half.mean(axis=(0, 1))
    worst = int(np.argmax(distance))
    if distance[worst] > FARTHEST:
        raise ModelRejected(
            f"its {VARIABLES[worst].replace('_', ' ')} is on average {distance[worst]:.1f} half-widths of the 90 % "
            f"interval away from what the model in service forecasts; {FARTHEST:g} is allowed"
        )
    return f"{said}, at most {distance[worst]:.2f} half-widths from the model in service"


def check_detector(model: AnomalyDetector, serving: AnomalyDetector, canary: CanaryBatch) -> str:
    """Let a detector judge the canary's readings; the outcome in words.

    Raises:
        RefusedModel: it is too slow, or flags far more than the detector in service. Whatever the model itself raises
            comes through.
    """
    made, seconds = _timed(lambda: model.check_many(canary.cases, canary.grid, "canary"))
    flagged = sum(verdict.is_anomaly for verdict in made)
    old = sum(verdict.is_anomaly for verdict in serving.check_many(canary.cases, canary.grid, "canary"))
    if len(made) >= FEW and flagged - old > FLAGGED_MORE * len(made):
        raise ModelRejected(f"it flags {flagged} of {len(made)} present readings, the detector in service {old}")
    return f"{flagged} of {len(made)} readings flagged in {seconds * 1000:.0f} ms"


def _timed(ask: Callable[[], T]) -> tuple[T, float]:
    """The answer and the seconds of the fastest try."""
    fastest = float("inf")
    for _ in range(TRIES):
        began = time.perf_counter()
        answer = ask()
        fastest = min(fastest, time.perf_counter() - began)
        if fastest <= SLOWEST_SECONDS:
            return answer, fastest
    raise ModelRejected(f"a canary batch takes {fastest:.1f} s, {SLOWEST_SECONDS:g} s are allowed")
