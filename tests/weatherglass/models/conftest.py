from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.synthetic_history import history
from weatherglass.history import HourGrid
from weatherglass.models import anomaly_training, fitting, ground
from weatherglass.models.anomaly import AnomalyDetector
from weatherglass.models.boosted import LEAD_GROUPS, BoostedForecaster
from weatherglass.models.ground import Ground
from weatherglass.models.split import Split, split
from weatherglass.records import VARIABLES

SMALL = fitting.Size(cases=4000, trees=30, leaves=15, learning_rate=0.15, spread_trees=5, calibration_cases=2000)


@dataclass(frozen=True)
class Model:
    grid: HourGrid
    parts: Split
    base: Ground
    forecaster: BoostedForecaster
    detector: AnomalyDetector


@pytest.fixture(scope="session")
def model() -> Model:
    """A small forecaster and detector, really trained on a made-up climate."""
    grid = history()
    parts = split(grid.values.shape[1])
    base = ground.fit(grid, parts.train)
    fitted = tuple(
        fitting.fit_part(grid, parts, base, variable, leads, SMALL, seed=1).part
        for variable in range(len(VARIABLES))
        for leads in LEAD_GROUPS
    )
    effort = anomaly_training.Effort(faults=250, stretches=12, trees=30)
    detector = AnomalyDetector(anomaly_training.fit(grid, parts.train, base.climatology, 0.1, 1, effort))
    return Model(grid, parts, base, fitting.assemble(grid, parts, base, fitted), detector)
