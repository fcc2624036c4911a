"""A random search for the size of the trees: random sizes, tried on a few tree models, scored on the calibration hours.

Random search finds an equally good size with far fewer trials than a grid search: Bergstra and Bengio (2012), Random
Search for Hyper-Parameter Optimization, JMLR 13. Test hours are not used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ray_jobs.training.folder import TrainingFolder
from ray_jobs.training.plan import TrainingPlan
from weatherglass.forecast.fit import FittedTrees
from weatherglass.forecast.presets import LEAD_GROUPS, ModelSize
from weatherglass.records import VARIABLES

PROBES = ((VARIABLES.index("temperature"), LEAD_GROUPS[1]), (VARIABLES.index("wind_speed"), LEAD_GROUPS[2]))
"""The tree models that are fitted in a trial: a smooth variable at short leads, a noisy one at long leads."""
LEAVES = (15, 31, 63, 127)
LEARNING_RATES = (0.02, 0.2)
TREE_FACTORS = (0.5, 2.0)
"""Range of the number of trees relative to the planned size, so that a training takes at most about twice as long."""


@dataclass(frozen=True)
class SizeTrial:
    """A size and its error relative to the damped anomaly, mean over the probes."""

    size: ModelSize
    error: float


def trial_size(size: ModelSize, seed: int, number: int) -> ModelSize:
    """The size of a trial: `size` itself for trial 0, otherwise drawn around it, reproducible by the seed."""
    if number == 0:
        return size
    rng = np.random.default_rng([seed, number])
    rate = float(np.exp(rng.uniform(*np.log(LEARNING_RATES))))
    trees = round(size.trees * float(np.exp(rng.uniform(*np.log(TREE_FACTORS)))))
    return replace(size, leaves=int(rng.choice(LEAVES)), learning_rate=round(rate, 4), trees=trees)


def relative_error(probes: list[FittedTrees]) -> float:
    """Error relative to the damped anomaly, mean over the probes; lower is better."""
    return float(np.mean([probe.mae / probe.damped_mae for probe in probes]))


def chosen_size(folder: TrainingFolder, plan: TrainingPlan) -> ModelSize:
    """The size with the smallest error in the search, or that of the plan without a search."""
    trials = [folder.load(step, SizeTrial) for step in plan.trial_steps]
    return min(trials, key=lambda trial: trial.error).size if trials else plan.model_size
