"""The daily refit: the trees of the champions are kept, and everything around them is fitted with the newest hours.

Climatology, damped anomaly and spatial regression are fitted again, the intervals of the trees are calibrated again on
all hours that the trees were not trained on, and the limits of the detector are set again. It takes minutes instead of
the hours of a full training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ray_jobs.training.context import StepTask
from ray_jobs.training.plan import KeptTrees, TrainingDataError
from weatherglass.forecast.boosted_trees import BoostedForecaster, TreeModel
from weatherglass.forecast.splits import Split, split
from weatherglass.history.grid import HourGrid
from weatherglass.registry.artifact import ModelFileError
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, TESTED, Registry

if TYPE_CHECKING:
    from weatherglass.anomaly.learned_score import LearnedScore


def split_for_refit(grid: HourGrid, kept: KeptTrees) -> Split:
    """Split a grid that has grown since the trees were trained: all later hours calibrate, except the test hours.

    Raises:
        HistoryTooShort: see `split`.
    """
    now = split(grid)
    end = grid.index(np.datetime64(kept.last_hour.removesuffix("Z"), "h")) + 1
    trained = np.zeros(grid.values.shape[1], dtype=bool)
    trained[: max(end, 0)] = split(grid.part(0, max(end, 0))).train[: len(trained)]
    train = trained & ~now.test
    return Split(train, (now.train | now.calibrate) & ~train, now.test)


def tree_model(task: StepTask, kept: KeptTrees, variable: int, leads: tuple[int, ...]) -> TreeModel:
    """Return a tree model of the version as it was tested.

    Raises:
        TrainingDataError: the version is missing or damaged, or has no such model.
    """
    registry = Registry(task.settings)
    version = registry.version(FORECASTER, kept.version)
    if version is None:
        raise TrainingDataError(f"version {kept.version}, whose trees are kept, is not in the registry")
    tested = registry.run_files(version) / TESTED
    try:
        forecaster = BoostedForecaster.load(tested if tested.is_dir() else version.folder)
    except ModelFileError as error:
        raise TrainingDataError(f"version {kept.version}, whose trees are kept, cannot be loaded: {error}") from None
    for model in forecaster.tree_models:
        if (model.variable, tuple(model.leads)) == (variable, leads):
            return model
    raise TrainingDataError(f"version {kept.version} has no trees for these leads; train a full model")


def detector(task: StepTask) -> LearnedScore:
    """Return the learned score of the champion.

    Raises:
        TrainingDataError: there is none, or it is damaged.
    """
    from weatherglass.anomaly.detector import AnomalyDetector

    champion = Registry(task.settings).champion(ANOMALY_DETECTOR)
    try:
        learned = AnomalyDetector.load(champion.folder).learned if champion else None
    except ModelFileError as error:
        raise TrainingDataError(f"the anomaly detector cannot be loaded: {error}; train a full model") from None
    if learned is None:
        raise TrainingDataError("there is no anomaly detector whose limits could be set; train a full model")
    return learned
