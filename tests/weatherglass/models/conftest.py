from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pytest

from tests.synthetic_history import history
from weatherglass.history import HourGrid
from weatherglass.models import anomaly_training, fitting, ground
from weatherglass.models.anomaly import AnomalyDetector
from weatherglass.models.boosted import LEAD_GROUPS, BoostedForecaster
from weatherglass.models.ground import Ground
from weatherglass.models.split import Split, split
from weatherglass.records import VARIABLES

SMALL = fitting.Size(cases=2000, trees=25, leaves=15, learning_rate=0.15, spread_trees=5, calibration_cases=1000)


@dataclass(frozen=True)
class Model:
    """A made-up climate, and small models really trained on it once a test asks for them: that takes seconds."""

    grid: HourGrid
    parts: Split
    base: Ground

    @cached_property
    def forecaster(self) -> BoostedForecaster:
        fitted = tuple(
            fitting.fit_part(self.grid, self.parts, self.base, variable, leads, SMALL, seed=1).part
            for variable in range(len(VARIABLES))
            for leads in LEAD_GROUPS
        )
        return fitting.assemble(self.grid, self.parts, self.base, fitted)

    @cached_property
    def detector(self) -> AnomalyDetector:
        effort = anomaly_training.Effort(faults=250, stretches=12, trees=30)
        climatology = self.base.climatology
        return AnomalyDetector(anomaly_training.fit(self.grid, self.parts.train, climatology, 0.1, 1, effort))


@pytest.fixture(scope="session")
def model() -> Model:
    grid = history()
    parts = split(grid.values.shape[1])
    return Model(grid, parts, ground.fit(grid, parts.train))
