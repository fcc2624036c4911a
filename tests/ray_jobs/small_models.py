"""Small fitted models for the tests of inference."""

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
    """A fitted forecaster without tree models."""
    everything = np.ones(GRID.values.shape[1], dtype=bool)
    base = base_models.fit(GRID, everything)
    return fit.assemble(GRID, Split(everything, everything, ~everything), base, ())


def register_champion(settings: Settings, forecaster: BoostedForecaster, folder: Path) -> str:
    """Register a model, make it champion, and return its version."""
    forecaster.save(folder)
    registry = Registry(settings)
    version = registry.register(FORECASTER, folder, {}, {}, {})
    registry.promote(FORECASTER, version, "the test", "test", {})
    return version


def with_impossible_heat(forecaster: BoostedForecaster) -> BoostedForecaster:
    """The forecaster with forecasts beyond the physical limits; its files are valid."""
    climatology = forecaster.climatology
    return replace(forecaster, climatology=replace(climatology, coefficients=climatology.coefficients + 500.0))
