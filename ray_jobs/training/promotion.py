"""The held-out errors of a new forecaster, its comparison with the champion, and the folders of the new models."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ray_jobs.training import model_card, plots
from ray_jobs.training.context import TrainingContext, load_context, part_names, size_of
from ray_jobs.training.folder import Plan, TrainingFolder
from weatherglass.anomaly.detector import FALSE_ALARMS, AnomalyDetector
from weatherglass.forecast import fit
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.splits import HistoryTooShort
from weatherglass.history.grid import HourGrid
from weatherglass.records import UNITS, VARIABLES
from weatherglass.registry import artifact
from weatherglass.registry.artifact import ModelFileError
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.verification.held_out_scores import Scores, evaluate
from weatherglass.verification.held_out_test import CONFIDENCE, HeldOutTest, compare

TESTED = "tested"
"""In a run's record: the forecaster as it was tested. What serves has learnt from the tested hours since, so only this
one can be compared on them."""


@dataclass(frozen=True)
class PromotionDecision:
    """What is to be recorded of the new models, and which place the forecaster takes."""

    params: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    promote: bool
    challenge: bool
    why: str
    figures: dict[str, float]
    lines: tuple[str, ...]


def score(settings: Settings, folder: TrainingFolder, plan: Plan) -> str:
    """Score, compare, and write `models/<kind>` and `record/` into the training's folder."""
    grid, basis = load_context(folder)
    ground = basis.ground
    forecaster = fit.assemble(grid, basis.parts, ground, [folder.load(name).part for name in part_names()])
    scores = evaluate(grid, basis.parts.test, forecaster, forecaster.climatology, forecaster.damping, plan.test_cases)
    if not np.isfinite(scores.mae["model"]).all():
        raise HistoryTooShort(
            f"the last {basis.parts.test.sum() / 24:.0f} days of the history have too few values to test a model on"
        )
    limits = np.nanquantile(scores.residuals, 1 - FALSE_ALARMS, axis=1)
    detector = AnomalyDetector(folder.load("detector"), np.maximum(limits, 1.0))
    promote, challenge, why, figures = _decide(Registry(settings), forecaster, scores, grid, basis, plan)
    params = _params(folder, plan, grid)
    metrics = {FORECASTER: scores.metrics(), ANOMALY_DETECTOR: detector.limits()}
    lines = in_words(scores)
    # What serves has learnt from the newest hours too, now that they have tested it.
    newest = fit.refit(forecaster, ground, grid, np.ones(grid.values.shape[1], dtype=bool))
    for kind, model in ((FORECASTER, newest), (ANOMALY_DETECTOR, detector)):
        place = folder.path / "models" / kind
        model.save(place)
        artifact.add_text(
            place, model_card.FILE, model_card.of(kind, plan, basis.without, params, metrics[kind], lines)
        )
    record = folder.path / "record"
    plots.write(record, scores)
    shutil.rmtree(record / TESTED, ignore_errors=True)
    forecaster.save(record / TESTED)
    folder.save("scores", PromotionDecision(params, metrics, promote, challenge, why, figures, tuple(lines)))
    return "\n".join(["held-out hours forecast", *lines])


def _params(folder: TrainingFolder, plan: Plan, grid: HourGrid) -> dict[str, Any]:
    return {
        "size": plan.size,
        **asdict(size_of(folder, plan)),
        "seed": plan.seed,
        "search_trials": plan.trials,
        "test_cases": plan.test_cases,
        "stations": len(grid.stations),
        "code_version": plan.code,
    }


def _decide(
    registry: Registry, new: BoostedForecaster, scores: Scores, grid: HourGrid, basis: TrainingContext, plan: Plan
) -> tuple[bool, bool, str, dict[str, float]]:
    """Whether the new forecaster is to serve, whether it is to be the challenger, why, and the figures."""
    figures = {f"skill.{v}": float(s) for v, s in zip(VARIABLES, scores.skill(), strict=True)}
    relative = float((scores.mean_mae("model") / scores.mean_mae("damped_anomaly")).mean())
    figures["relative_mae"] = relative
    champion = registry.champion(FORECASTER)
    if champion is None:
        return True, False, f"there was no champion; its MAE is {relative:.3f} of the damped anomaly's", figures
    tested = registry.record(champion) / TESTED
    try:
        old = BoostedForecaster.load(tested if tested.is_dir() else champion.folder)
    except ModelFileError as error:
        return True, False, f"champion {champion.version} cannot be loaded ({error})", figures
    result = compare(grid, basis.parts.test, new, old, scores.mae["damped_anomaly"], plan.test_cases)
    figures |= {
        "relative_mae": result.new,
        "relative_mae_of_champion": result.old,
        "gain": result.gain,
        "gain_beyond_chance": result.margin,
        "blocks": result.blocks,
    }
    return result.better, not result.worse, _in_words(result, champion.version), figures


def _in_words(result: HeldOutTest, champion: str) -> str:
    verb = "better" if result.better else "not better"
    return (
        f"MAE {result.new:.3f} of the damped anomaly's, {verb} beyond chance than champion {champion} with "
        f"{result.old:.3f} on the same held-out hours ({result.blocks} blocks of days, {CONFIDENCE:.0%} sure)"
    )


def in_words(scores: Scores) -> list[str]:
    """A line for each variable: errors at 6-24 h beside the damped anomaly's, skill, coverage."""
    model, other, skill = scores.mean_mae("model"), scores.mean_mae("damped_anomaly"), scores.skill()
    return [
        f"held out, {name.replace('_', ' ')}: MAE at 6-24 h {model[v]:.2f} {UNITS[name]}, damped anomaly "
        f"{other[v]:.2f} {UNITS[name]}, skill {skill[v]:+.3f}; intervals hold "
        + " and ".join(f"{np.nanmean(share[:, v]):.1%} ({level:.0%} meant)" for level, share in scores.coverage.items())
        for v, name in enumerate(VARIABLES)
    ]


def models_of(folder: TrainingFolder) -> dict[str, Path]:
    return {kind: folder.path / "models" / kind for kind in (FORECASTER, ANOMALY_DETECTOR)}
