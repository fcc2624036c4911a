"""The trial: each way in which a model can fail it, with forecasters that fail in just that way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ray_jobs.inference import canary_check
from ray_jobs.inference.canary_check import CanaryBatch, ModelRejected, check_detector, check_forecaster, fault
from tests.ray_jobs.windows import START, leading
from tests.synthetic_history import history
from weatherglass.anomaly.detector import AnomalyDetector, Case
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import LEVELS, Forecast, Forecaster
from weatherglass.records import LEADS, VARIABLES

GRID = history(days=60)
CANARY = CanaryBatch(GRID, [0, 1, 2], [500, 500, 600])


@dataclass(frozen=True)
class Changed(Forecaster):
    """Persistence with something done to it; a class of its own, since persistence itself is no model."""

    change: Any = lambda forecast: forecast

    def forecast(self, *arguments: Any) -> Forecast:
        made = PersistenceForecaster().forecast(*arguments)
        return self.change(made)


def shifted(by: float, variable: str = "temperature") -> Changed:
    """Sound in itself, and everywhere so much off."""
    step = np.zeros(len(VARIABLES))
    step[VARIABLES.index(variable)] = by

    def shift(made: Forecast) -> Forecast:
        bounds = [{level: bound + step for level, bound in one.items()} for one in (made.lower, made.upper)]
        return replace(made, values=made.values + step, lower=bounds[0], upper=bounds[1])

    return Changed(shift)


def test_a_sound_forecast_has_no_fault_and_a_broken_one_is_named() -> None:
    forecast = PersistenceForecaster().forecast(GRID, [0, 1], [500, 600])
    assert fault(forecast) is None
    holed = forecast.values.copy()
    holed[1, 3, 2] = np.nan
    hot = forecast.values.copy()
    hot[0, :, 0] = 90.0
    wide = {level: np.full_like(hot, 1e4) for level in LEVELS}
    crossed = {**forecast.lower, 0.9: forecast.values + 1}
    assert "not finite" in (fault(replace(forecast, values=holed)) or "")
    assert "temperature" in (fault(replace(forecast, values=hot, upper=wide)) or "")
    assert "interval at 90%" in (fault(replace(forecast, lower=crossed)) or "")
    assert "shape" in (fault(replace(forecast, values=forecast.values[:, : len(LEADS) - 1])) or "")


def test_a_model_near_the_one_in_service_passes_and_one_far_from_it_does_not() -> None:
    assert "half-widths" in check_forecaster(shifted(1.0), Changed(), CANARY)
    with pytest.raises(ModelRejected, match=r"its pressure is on average .* half-widths"):
        check_forecaster(shifted(30.0, "pressure"), Changed(), CANARY)
    assert check_forecaster(shifted(30.0, "pressure"), PersistenceForecaster(), CANARY), "no model, no distance"


def test_a_model_that_gives_nan_is_refused() -> None:
    with pytest.raises(ModelRejected, match="not finite"):
        check_forecaster(Changed(lambda made: replace(made, values=made.values * np.nan)), Changed(), CANARY)


def test_a_model_that_is_too_slow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(0, 1000, 3))
    monkeypatch.setattr(canary_check, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    with pytest.raises(ModelRejected, match=r"takes 3\.0 s, 2 s are allowed"):
        check_forecaster(Changed(), Changed(), CANARY)


def test_a_detector_that_flags_everything_or_raises_is_refused() -> None:
    sound = AnomalyDetector.rules_only()
    readings = [leading("boston", START + timedelta(minutes=minute)) for minute in range(5)]
    canary = replace(CANARY, cases=[Case(reading, (), 0, None) for reading in readings])

    def alarmed(*arguments: Any) -> Any:
        return [one.model_copy(update={"is_anomaly": True}) for one in sound.check_many(*arguments)]

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("no spread")

    assert "0 of 5" in check_detector(sound, sound, canary)
    with pytest.raises(ModelRejected, match="flags 5 of 5"):
        check_detector(SimpleNamespace(check_many=alarmed), sound, canary)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        check_detector(SimpleNamespace(check_many=broken), sound, canary)  # type: ignore[arg-type]
