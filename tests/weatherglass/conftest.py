from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pytest

from tests.synthetic_history import history
from weatherglass.anomaly import fit as anomaly_fit
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast import base_models, fit
from weatherglass.forecast.base_models import BaseModels
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.presets import LEAD_GROUPS, ModelSize
from weatherglass.forecast.splits import Split, split
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES

SMALL = ModelSize(cases=2000, trees=25, leaves=15, learning_rate=0.15, spread_trees=5, calibration_cases=1000)


@dataclass(frozen=True)
class Model:
    """A synthetic climate, and small models that are trained on it when a test first uses them, which takes seconds."""

    grid: HourGrid
    split: Split
    base: BaseModels

    @cached_property
    def forecaster(self) -> BoostedForecaster:
        fitted = tuple(
            fit.fit_tree_model(self.grid, self.split, self.base, variable, leads, SMALL, seed=1).model
            for variable in range(len(VARIABLES))
            for leads in LEAD_GROUPS
        )
        return fit.assemble(self.grid, self.split, self.base, fitted)

    @cached_property
    def detector(self) -> AnomalyDetector:
        size = anomaly_fit.DetectorSize(faults=250, segments=12, trees=30)
        climatology = self.base.climatology
        return AnomalyDetector(anomaly_fit.fit(self.grid, self.split.train, climatology, 0.1, 1, size))


@pytest.fixture(scope="session")
def model() -> Model:
    grid = history()
    masks = split(grid)
    return Model(grid, masks, base_models.fit(grid, masks.train))
