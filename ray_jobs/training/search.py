"""A bounded search for the size of the trees: random sizes, tried on a few parts, judged on the hours of calibration.

Random search finds as good a size as a grid with far fewer trials: Bergstra and Bengio (2012), Random Search for
Hyper-Parameter Optimization, JMLR 13. No test hour is looked at.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from weatherglass.forecast.boosted_trees import LEAD_GROUPS
from weatherglass.forecast.fit import FittedModel, Size
from weatherglass.records import VARIABLES

PROBES = ((VARIABLES.index("temperature"), LEAD_GROUPS[1]), (VARIABLES.index("wind_speed"), LEAD_GROUPS[2]))
"""The parts that are fitted in a trial: a smooth variable near, a rough one far."""
LEAVES = (15, 31, 63, 127)
RATES = (0.02, 0.2)
TREES = (0.5, 2.0)
"""Times the trees of the size that is searched around, so a training stays within about twice its time."""


def trial(size: Size, seed: int, number: int) -> Size:
    """Trial 0 is the size itself, the others are drawn around it; the same for the same seed."""
    if number == 0:
        return size
    rng = np.random.default_rng([seed, number])
    rate = float(np.exp(rng.uniform(*np.log(RATES))))
    trees = round(size.trees * float(np.exp(rng.uniform(*np.log(TREES)))))
    return replace(size, leaves=int(rng.choice(LEAVES)), learning_rate=round(rate, 4), trees=trees)


def score(probes: list[FittedModel]) -> float:
    """Error in damped anomalies' errors, mean over the probes; the smallest wins."""
    return float(np.mean([probe.mae / probe.damped_mae for probe in probes]))
