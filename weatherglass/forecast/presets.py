"""Sizes and lead groups of a boosted forecaster; importing this module does not import LightGBM."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSize:
    """Numbers of cases and trees for one variable and group of leads.

    Attributes:
        cases: training cases.
        trees, spread_trees: boosting rounds for the residual and for its spread.
        leaves: leaves of a tree for the residual.
        calibration_cases: cases for each class of history length.
    """

    cases: int
    trees: int
    leaves: int
    learning_rate: float
    spread_trees: int
    calibration_cases: int


FIRST = ModelSize(cases=12_000, trees=60, leaves=31, learning_rate=0.12, spread_trees=20, calibration_cases=2_500)
"""Trains within a minute on two busy cores."""
FULL = ModelSize(cases=80_000, trees=160, leaves=47, learning_rate=0.07, spread_trees=30, calibration_cases=6_000)
SIZES = {"first": FIRST, "full": FULL}

LEAD_GROUPS = (tuple(range(1, 4)), tuple(range(4, 9)), tuple(range(9, 17)), tuple(range(17, 25)))
"""Leads, in hours, of the tree models of a variable."""
