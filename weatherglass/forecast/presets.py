"""How large a forecaster is fitted. Known without importing a model, for who only conducts a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How large a model is fitted."""

    cases: int
    trees: int
    leaves: int
    learning_rate: float
    spread_trees: int
    calibration_cases: int
    """For each class of past and each group of leads."""


FIRST = Size(cases=12_000, trees=60, leaves=31, learning_rate=0.12, spread_trees=20, calibration_cases=2_500)
"""Within a minute on two busy cores."""
FULL = Size(cases=80_000, trees=160, leaves=47, learning_rate=0.07, spread_trees=30, calibration_cases=6_000)
SIZES = {"first": FIRST, "full": FULL}
