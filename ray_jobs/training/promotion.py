"""Scores of a new forecaster on held-out hours, its comparison with the champion, and the folders of the new models."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from ray_jobs.training import model_card, plots
from ray_jobs.training.context import StepTask, TrainingContext, load_context, model_folders
from ray_jobs.training.plan import DETECTOR, TREE_MODELS, TrainingPlan
from ray_jobs.training.search import chosen_size
from weatherglass.anomaly.detector import FALSE_ALARM_RATE, AnomalyDetector
from weatherglass.anomaly.learned_score import LearnedScore
from weatherglass.forecast import fit
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.fit import FittedTrees
from weatherglass.forecast.splits import HistoryTooShort
from weatherglass.history.grid import HourGrid
from weatherglass.records import UNITS, VARIABLES
from weatherglass.registry import artifact
from weatherglass.registry.artifact import ModelFileError
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, TESTED, Registry
from weatherglass.verification.held_out_scores import HeldOutScores, evaluate
from weatherglass.verification.held_out_test import CONFIDENCE, HeldOutTest, compare
from weatherglass.verification.scores import lead_mean


class Role(StrEnum):
    """Role of a new forecaster in the registry."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    NONE = "none"


@dataclass(frozen=True)
class PromotionDecision:
    """The role of the new forecaster, and the record of both models.

    Attributes:
        params: parameters of the run.
        metrics: model kind -> metrics.
        reason, figures: of the decision, for the promotion log.
    """

    params: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    role: Role
    reason: str
    figures: dict[str, float]


def score(task: StepTask) -> tuple[PromotionDecision, str]:
    """Score and compare, and write `models/<kind>` and `record/` into the folder; the decision, and lines.

    Raises:
        HistoryTooShort: the test hours have too few values.
    """
    folder, plan = task.folder, task.plan
    grid, context = load_context(folder)
    test = context.split.test
    tree_models = [folder.load(step, FittedTrees).model for step in TREE_MODELS]
    forecaster = fit.assemble(grid, context.split, context.base_models, tree_models)
    scores = evaluate(grid, test, forecaster, forecaster.climatology, forecaster.damping, plan.test_cases)
    if not np.isfinite(scores.mae["model"]).all():
        raise HistoryTooShort(
            f"the last {test.sum() / 24:.0f} days of the history have too few values to test a model on"
        )
    limits = np.nanquantile(scores.residuals, 1 - FALSE_ALARM_RATE, axis=1)
    detector = AnomalyDetector(folder.load(DETECTOR, LearnedScore), np.maximum(limits, 1.0))
    role, reason, figures = _decide(Registry(task.settings), forecaster, scores, grid, context, plan)
    params = _params(task, grid)
    metrics = {FORECASTER: scores.metrics(), ANOMALY_DETECTOR: detector.limits()}
    summary = summarize(scores)
    # After the test, the registered model is refitted on all hours, including the newest.
    refitted = fit.refit(forecaster, context.base_models, grid, np.ones(grid.values.shape[1], dtype=bool))
    for kind, model in ((FORECASTER, refitted), (ANOMALY_DETECTOR, detector)):
        model_folder = model_folders(folder)[kind]
        model.save(model_folder)
        card = model_card.render(kind, plan, context.excluded, params, metrics[kind], summary)
        artifact.add_text(model_folder, model_card.FILE, card)
    record = folder.path / "record"
    plots.write_plots(record, scores)
    shutil.rmtree(record / TESTED, ignore_errors=True)
    forecaster.save(record / TESTED)
    return PromotionDecision(params, metrics, role, reason, figures), "\n".join(["scored on held-out hours", *summary])


def _params(task: StepTask, grid: HourGrid) -> dict[str, Any]:
    plan = task.plan
    return {
        "size": plan.size,
        **asdict(chosen_size(task.folder, plan)),
        "seed": plan.seed,
        "search_trials": plan.search_trials,
        "test_cases": plan.test_cases,
        "stations": len(grid.stations),
        "code_version": plan.code,
    }


def _decide(
    registry: Registry,
    new: BoostedForecaster,
    scores: HeldOutScores,
    grid: HourGrid,
    context: TrainingContext,
    plan: TrainingPlan,
) -> tuple[Role, str, dict[str, float]]:
    """Role of the new forecaster, the reason, and the figures of the decision."""
    figures = {f"skill.{v}": float(s) for v, s in zip(VARIABLES, scores.skill(), strict=True)}
    relative = float((scores.mean_mae("model") / scores.mean_mae("damped_anomaly")).mean())
    figures["relative_mae"] = relative
    champion = registry.champion(FORECASTER)
    if champion is None:
        reason = f"there was no champion; its MAE is {relative:.3f} of that of the damped anomaly"
        return Role.CHAMPION, reason, figures
    tested = registry.run_files(champion) / TESTED
    try:
        old = BoostedForecaster.load(tested if tested.is_dir() else champion.folder)
    except ModelFileError as error:
        return Role.CHAMPION, f"champion {champion.version} cannot be loaded ({error})", figures
    result = compare(grid, context.split.test, new, old, scores.mae["damped_anomaly"], plan.test_cases)
    figures |= {
        "relative_mae": result.new_error,
        "relative_mae_of_champion": result.old_error,
        "gain": result.gain,
        "gain_beyond_chance": result.lower_bound,
        "blocks": result.blocks,
    }
    reason = _reason(result, champion.version)
    if plan.kept is None:
        role = Role.CHAMPION if result.better else Role.NONE if result.worse else Role.CHALLENGER
    elif challenger := registry.challenger(FORECASTER):
        role, reason = Role.NONE, f"the champion is compared with version {challenger.version} in service; {reason}"
    else:
        role = Role.NONE if result.worse else Role.CHAMPION
        reason = f"refit with the newest hours; {reason}"
    return role, reason, figures


def _reason(result: HeldOutTest, champion: str) -> str:
    verdict = "significantly better" if result.better else "not significantly better"
    return (
        f"MAE {result.new_error:.3f} of that of the damped anomaly, {verdict} than champion {champion} with "
        f"{result.old_error:.3f} on the same hours ({result.blocks} blocks of days, {CONFIDENCE:.0%} confidence)"
    )


def summarize(scores: HeldOutScores) -> list[str]:
    """A line for each variable: errors at 6-24 h, MAE of the damped anomaly, skill, coverage of the intervals."""
    model, damped, skill = scores.mean_mae("model"), scores.mean_mae("damped_anomaly"), scores.skill()
    rmse, bias, crps, mape = (lead_mean(values) for values in (scores.rmse, scores.bias, scores.crps, scores.mape))
    return [
        f"{name.replace('_', ' ')}: MAE at 6-24 h {model[v]:.2f} {UNITS[name]}, damped anomaly {damped[v]:.2f} "
        f"{UNITS[name]}, skill {skill[v]:+.3f}; RMSE {rmse[v]:.2f}, bias {bias[v]:+.2f}, CRPS {crps[v]:.2f} "
        f"{UNITS[name]}"
        + (f", MAPE {mape[v]:.1f} %" if np.isfinite(mape[v]) else "")
        + "; coverage of the intervals "
        + ", ".join(f"{np.nanmean(share[:, v]):.1%} (nominal {level:.0%})" for level, share in scores.coverage.items())
        for v, name in enumerate(VARIABLES)
    ]
