from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.synthetic_history import history
from weatherglass.history import HourGrid
from weatherglass.models import climatology, damped, design, fitting, oddness
from weatherglass.models.anomaly import FALSE_ALARMS, AnomalyDetector
from weatherglass.models.boosted import LEAD_GROUPS, BoostedForecaster
from weatherglass.models.forecast import LEVELS
from weatherglass.models.split import Split, only, split
from weatherglass.records import VARIABLES

SMALL = fitting.Size(cases=4000, trees=30, leaves=15, learning_rate=0.15, spread_trees=5, calibration_cases=2000)


@dataclass(frozen=True)
class Model:
    grid: HourGrid
    parts: Split
    forecaster: BoostedForecaster
    detector: AnomalyDetector


@pytest.fixture(scope="session")
def model() -> Model:
    """A small forecaster and detector, really trained on a made-up climate."""
    grid = history()
    parts = split(grid.values.shape[1])
    known = only(grid, parts.train)
    usual = climatology.fit(known)
    damping = damped.fit(design.view(known, usual).anomalies)
    fitted = tuple(
        fitting.fit_part(grid, parts, usual, damping, variable, leads, SMALL, seed=1).part
        for variable in range(len(VARIABLES))
        for leads in LEAD_GROUPS
    )
    held_out = design.view(only(grid, parts.calibrate), usual)
    errors = damped.error_quantiles(held_out.anomalies, held_out.rows, damping, LEVELS)
    detector = AnomalyDetector(oddness.fit(known, usual, FALSE_ALARMS, seed=1))
    return Model(grid, parts, BoostedForecaster(usual, damping, errors, fitted), detector)
