"""Models for the tests of serving, small and really fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.synthetic_history import history
from weatherglass.forecast import base_models, fit
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.splits import Split
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings

GRID = history(days=60)


def without_trees() -> BoostedForecaster:
    """A forecaster that has no trees yet."""
    everything = np.ones(GRID.values.shape[1], dtype=bool)
    base = base_models.fit(GRID, everything)
    return fit.assemble(GRID, Split(everything, everything, ~everything), base, ())


def crown(settings: Settings, forecaster: BoostedForecaster, folder: Path) -> str:
    """Register a model, make it champion, and return its version."""
    forecaster.save(folder)
    registry = Registry(settings)
    version = registry.register(FORECASTER, folder, {}, {}, {})
    registry.promote(FORECASTER, version, "the test", "to see it serve", {})
    return version


def mad(forecaster: BoostedForecaster) -> BoostedForecaster:
    """Its files are sound, and it forecasts heat that no thermometer has seen."""
    usual = forecaster.climatology
    return replace(forecaster, climatology=replace(usual, coefficients=usual.coefficients + 500.0))
