"""The steps of a training: a table of functions, each run in its own Ray task, with its result in the folder.

Modules that only one step needs are imported in that step, because every task is a process with its own memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ray_jobs.training import refit, search
from ray_jobs.training.context import GRID_FILE, StepTask, TrainingContext, load_context
from ray_jobs.training.folder import TrainingFolder
from ray_jobs.training.plan import (
    BASE_MODELS,
    CANDIDATES,
    DETECTOR,
    GUIDANCE_MODEL,
    REGISTERED,
    SCORES,
    SEARCH_TRIALS,
    TREE_MODELS,
    TrainingDataError,
)
from ray_jobs.training.search import SizeTrial
from weatherglass.forecast import base_models, fit
from weatherglass.forecast.fit import FittedTrees, InsufficientTrainingData
from weatherglass.forecast.presets import ModelSize
from weatherglass.forecast.splits import HistoryTooShort, split
from weatherglass.forecast.variables import drop_implausible
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import read_history
from weatherglass.history.sources.calendar import excluded_periods
from weatherglass.records import UNITS, VARIABLES, iso
from weatherglass.settings import Settings

if TYPE_CHECKING:
    from ray_jobs.training.guidance import GuidanceTraining
    from ray_jobs.training.promotion import PromotionDecision
    from weatherglass.anomaly.learned_score import LearnedScore

Step = Callable[[StepTask], tuple[object, str]]
"""Returns the result, and lines for the log."""


def run(settings: Settings, path: Path, step: str, threads: int) -> str:
    """Run a step of the training in the folder `path` and save its result; lines for the log.

    Raises:
        TrainingDataError: the history is missing, too short, or lacks a variable.
    """
    folder = TrainingFolder(path)
    began = time.monotonic()
    try:
        result, lines = STEPS[step](StepTask(settings, folder, folder.plan(), threads))
    except (FileNotFoundError, HistoryTooShort, InsufficientTrainingData) as error:
        raise TrainingDataError(str(error)) from None
    folder.save(step, result)
    return f"{lines} ({time.monotonic() - began:.1f} s)"


def _fit_base_models(task: StepTask) -> tuple[TrainingContext, str]:
    excluded = excluded_periods(task.settings, task.plan.started_at, task.plan.last_start)
    grid = drop_implausible(read_history(task.settings.history_dir, excluded))
    if task.plan.last_start:
        grid = _without_empty_end(grid)
    parts = refit.split_for_refit(grid, task.plan.kept) if task.plan.kept else split(grid)
    fitted = base_models.fit(grid, parts.train)
    np.save(task.folder.path / GRID_FILE, grid.values)
    periods = "".join(f"excluded because it is replayed: {iso(first)} to {iso(last)}; " for first, last in excluded)
    days = {name: f"{mask.sum() / 24:.0f} days" for name, mask in vars(parts).items()}
    return TrainingContext(grid.stations, grid.start, grid.gaps, parts, fitted, excluded), (
        f"{periods}climatology, damped anomaly and spatial regression of {len(grid.stations)} stations from "
        f"{days['train']}; {days['calibrate']} for calibration, the last {days['test']} for the test"
    )


def _without_empty_end(grid: HourGrid) -> HourGrid:
    """The grid up to the last hour with a value: a period that is excluded at the end would else be the test hours."""
    filled = np.flatnonzero(np.isfinite(grid.values).any(axis=(0, 2)))
    return grid.part(0, int(filled[-1]) + 1) if len(filled) else grid


def _fit_trees(task: StepTask, variable: int, leads: tuple[int, ...], size: ModelSize) -> FittedTrees:
    grid, context = load_context(task.folder)
    return fit.fit_tree_model(
        grid, context.split, context.base_models, variable, leads, size, task.plan.seed, task.threads
    )


def _try_size(number: int, task: StepTask) -> tuple[SizeTrial, str]:
    size = search.trial_size(task.plan.model_size, task.plan.seed, number)
    error = search.relative_error([_fit_trees(task, variable, leads, size) for variable, leads in search.PROBES])
    return SizeTrial(size, error), (
        f"trial {number}: {size.trees} trees with {size.leaves} leaves, learning rate {size.learning_rate:g}: "
        f"{error:.4f} of the error of the damped anomaly"
    )


def _fit_tree_model(variable: int, leads: tuple[int, ...], task: StepTask) -> tuple[FittedTrees, str]:
    if task.plan.kept:
        model = refit.tree_model(task, task.plan.kept, variable, leads)
        grid, context = load_context(task.folder)
        size = task.plan.model_size
        fitted = fit.recalibrate(grid, context.split, context.base_models, model, size, task.plan.seed)
    else:
        fitted = _fit_trees(task, variable, leads, search.chosen_size(task.folder, task.plan))
    name, unit = VARIABLES[variable], UNITS[VARIABLES[variable]]
    return fitted, (
        f"{name.replace('_', ' ')}, leads {leads[0]}-{leads[-1]} h: MAE {fitted.mae:.2f} {unit} "
        f"(damped anomaly {fitted.damped_mae:.2f} {unit})"
    )


def _fit_detector(task: StepTask) -> tuple[LearnedScore, str]:
    from weatherglass.anomaly import fit as detector_fit
    from weatherglass.anomaly import isolation_features

    grid, context = load_context(task.folder)
    budget = task.settings.false_alarms_per_week
    if task.plan.kept:
        learned = refit.detector(task)
        recent = grid.part(max(0, grid.values.shape[1] - detector_fit.RECENT_HOURS))
        return learned.recalibrated(recent, budget), "limits of the anomaly detector"
    size = detector_fit.DETECTOR_SIZES[task.plan.size]
    try:
        learned = detector_fit.fit(
            grid, context.split.train, context.base_models.climatology, budget, task.plan.seed, size
        )
    except isolation_features.InsufficientHistory as error:
        raise TrainingDataError(str(error)) from None
    return learned, "anomaly detector"


def _train_guidance(task: StepTask) -> tuple[GuidanceTraining, str]:
    from ray_jobs.training import guidance

    return guidance.train(task)


def _score(task: StepTask) -> tuple[PromotionDecision, str]:
    from ray_jobs.training import promotion

    return promotion.score(task)


def _register(task: StepTask) -> tuple[dict[str, str], str]:
    from ray_jobs.training import register

    return register.register(task)


def _compare_candidates(task: StepTask) -> tuple[list[str], str]:
    from ray_jobs.training import model_comparison

    return model_comparison.compare_candidates(task)


STEPS: Mapping[str, Step] = {
    BASE_MODELS: _fit_base_models,
    **{step: partial(_try_size, number) for step, number in SEARCH_TRIALS.items()},
    **{step: partial(_fit_tree_model, variable, leads) for step, (variable, leads) in TREE_MODELS.items()},
    DETECTOR: _fit_detector,
    GUIDANCE_MODEL: _train_guidance,
    SCORES: _score,
    REGISTERED: _register,
    CANDIDATES: _compare_candidates,
}
"""Step -> function. The results are of the types that the functions declare; `TrainingFolder.load` needs the type."""
