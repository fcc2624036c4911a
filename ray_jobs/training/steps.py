"""The steps of a training. Each runs in a process of its own that ends with it, and leaves its result in the folder.

`ground` (the grid, its split, and what all parts stand on), one per part of the forecaster, `detector`, the search's
trials, then `scores` (held-out errors, comparison with the champion, the models' folders), `registered`, and in a full
training `candidates` (all that could forecast, side by side).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ray_jobs.training import search
from ray_jobs.training.context import GRID_FILE, TrainingContext, load_context, part_names, size_of
from ray_jobs.training.folder import Plan, TrainingFolder
from weatherglass.forecast import base_models, fit
from weatherglass.forecast.boosted_trees import LEAD_GROUPS
from weatherglass.forecast.fit import FittedTrees, InsufficientTrainingData, Size
from weatherglass.forecast.splits import HistoryTooShort, split
from weatherglass.forecast.variables import drop_implausible
from weatherglass.history.prepared import read_history
from weatherglass.history.sources.calendar import excluded_stretches
from weatherglass.records import UNITS, VARIABLES, iso
from weatherglass.settings import Settings


class CannotTrain(ValueError):
    """The history lacks something; the message says what."""


def run(settings: Settings, path: Path, step: str, threads: int) -> str:
    """Do a step and keep its result; a line about it.

    Raises:
        CannotTrain: the history is missing, too short, or lacks a variable.
    """
    folder = TrainingFolder(path)
    began = time.monotonic()
    try:
        line = _do(settings, folder, folder.load("plan"), step, threads)
    except (FileNotFoundError, HistoryTooShort, InsufficientTrainingData) as error:
        raise CannotTrain(str(error)) from None
    return f"{line} ({time.monotonic() - began:.1f} s)"


def _do(settings: Settings, folder: TrainingFolder, plan: Plan, step: str, threads: int) -> str:
    if step == "ground":
        return _ground(settings, folder, plan)
    if step == "detector":
        return _detector(settings, folder, plan)
    if step == "scores":
        from ray_jobs.training import promotion

        return promotion.score(settings, folder, plan)
    if step == "registered":
        from ray_jobs.training import register

        return register.register(settings, folder, plan)
    if step == "candidates":
        from ray_jobs.training import candidates

        return candidates.note(settings, folder, plan)
    if step.startswith("trial"):
        return _trial(folder, plan, step, threads)
    return _part(folder, plan, step, threads)


def _ground(settings: Settings, folder: TrainingFolder, plan: Plan) -> str:
    without = excluded_stretches(settings, plan.began)
    grid = drop_implausible(read_history(settings.history_dir, without))
    parts = split(grid.values.shape[1])
    fitted = base_models.fit(grid, parts.train)
    np.save(folder.path / GRID_FILE, grid.values)
    folder.save("parts", part_names())
    folder.save("ground", TrainingContext(grid.stations, grid.start, parts, fitted, without))
    left_out = "".join(f"left out, since it is replayed: {iso(first)} to {iso(last)}; " for first, last in without)
    return (
        f"{left_out}climatology, damped anomaly and linear network of {len(grid.stations)} stations from "
        f"{parts.train.sum() / 24:.0f} days; "
        f"{parts.calibrate.sum() / 24:.0f} days calibrate, the last {parts.test.sum() / 24:.0f} days test"
    )


def _fit(
    folder: TrainingFolder, plan: Plan, variable: int, leads: tuple[int, ...], size: Size, threads: int
) -> FittedTrees:
    grid, basis = load_context(folder)
    return fit.fit_tree_model(grid, basis.parts, basis.ground, variable, leads, size, plan.seed, threads)


def _part(folder: TrainingFolder, plan: Plan, step: str, threads: int) -> str:
    names = part_names()
    variable, group = divmod(names.index(step), len(LEAD_GROUPS))
    leads = LEAD_GROUPS[group]
    fitted = _fit(folder, plan, variable, leads, size_of(folder, plan), threads)
    folder.save(step, fitted)
    name, unit = VARIABLES[variable], UNITS[VARIABLES[variable]]
    return (
        f"{name.replace('_', ' ')}, leads {leads[0]}-{leads[-1]} h: MAE {fitted.mae:.2f} {unit} "
        f"(damped anomaly {fitted.damped_mae:.2f} {unit})"
    )


def _trial(folder: TrainingFolder, plan: Plan, step: str, threads: int) -> str:
    size = search.trial(plan.shape, plan.seed, int(step.removeprefix("trial-")))
    probes = [_fit(folder, plan, variable, leads, size, threads) for variable, leads in search.PROBES]
    error = search.score(probes)
    folder.save(step, (size, error))
    words = f"{size.trees} trees of {size.leaves} leaves at a rate of {size.learning_rate:g}"
    return f"{step}: {words}: {error:.4f} of the damped anomaly's error"


def _detector(settings: Settings, folder: TrainingFolder, plan: Plan) -> str:
    from weatherglass.anomaly import fit, isolation_features

    grid, basis = load_context(folder)
    effort, budget = fit.EFFORTS[plan.size], settings.false_alarms_per_week
    usual = basis.ground.climatology
    try:
        learnt = fit.fit(grid, basis.parts.train, usual, budget, plan.seed, effort)
    except isolation_features.TooFewHours as error:
        raise CannotTrain(str(error)) from None
    folder.save("detector", learnt)
    return "anomaly detector"
