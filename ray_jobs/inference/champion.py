"""The models in service: the registry's champions, each tried before it serves, and what serves without one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from weatherglass.history import HourGrid
from weatherglass.models.anomaly import AnomalyDetector
from weatherglass.models.boosted import BoostedForecaster
from weatherglass.models.fallback import PersistenceForecaster
from weatherglass.models.forecast import Forecast, Forecaster
from weatherglass.models.registry import ANOMALY_DETECTOR, FORECASTER, ModelVersion, Registry
from weatherglass.quality import LIMITS
from weatherglass.records import LEADS, VARIABLES

log = logging.getLogger(__name__)

NO_MODEL = "none"
"""The model version of a prediction that no registered model made."""


@dataclass(frozen=True)
class Models:
    """The models that answer one batch, with their registered versions."""

    forecaster: Forecaster
    forecaster_version: str
    detector: AnomalyDetector
    detector_version: str | None


class RefusedModel(ValueError):
    """A model that failed its trial; the message says how."""


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


class Champions:
    """Follows the registry. `refresh` runs beside the serving loop, which takes `current` once a batch."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._refused: set[tuple[str, str]] = set()
        self.current = Models(PersistenceForecaster(), NO_MODEL, AnomalyDetector.rules_only(), None)

    def refresh(self, grid: HourGrid | None) -> None:
        """Load the champions that are not in service yet, try them on the present grid, and put them in service.

        A version that fails is refused once and for all, and the one in service goes on; so it does while the
        registry cannot be asked.
        """
        serving = self.current
        self._renew(FORECASTER, serving.forecaster_version, lambda champion: self._with_forecaster(champion, grid))
        self._renew(ANOMALY_DETECTOR, serving.detector_version, self._with_detector)

    def _renew(self, kind: str, serving: str | None, trial: Callable[[ModelVersion], Models]) -> None:
        try:
            champion = self._registry.champion(kind)
        except Exception as error:
            log.warning("the registry cannot be asked for the %s, version %s serves on: %s", kind, serving, error)
            return
        if champion is None or champion.version == serving or (kind, champion.version) in self._refused:
            return
        try:
            self.current = trial(champion)
        except Exception as error:
            self._refused.add((kind, champion.version))
            log.error("%s version %s is refused, version %s serves on: %s", kind, champion.version, serving, error)
        else:
            log.info("%s version %s serves, before it %s", kind, champion.version, serving)

    def _with_forecaster(self, champion: ModelVersion, grid: HourGrid | None) -> Models:
        model = BoostedForecaster.load(champion.folder)
        if grid is not None and grid.stations:
            rows = range(len(grid.stations))
            forecast = model.forecast(grid, rows, [grid.values.shape[1] - 1] * len(rows))
            if wrong := fault(forecast):
                raise RefusedModel(f"its forecast from the present hours: {wrong}")
        return replace(self.current, forecaster=model, forecaster_version=champion.version)

    def _with_detector(self, champion: ModelVersion) -> Models:
        detector = AnomalyDetector.load(champion.folder)
        return replace(self.current, detector=detector, detector_version=champion.version)
