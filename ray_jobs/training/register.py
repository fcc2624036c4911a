"""Registration of the trained models, and their promotion."""

from __future__ import annotations

import platform
from importlib import metadata

from ray_jobs.training.context import StepTask, model_folders
from ray_jobs.training.guidance import GuidanceTraining
from ray_jobs.training.plan import GUIDANCE_MODEL, SCORES, TrainingPlan
from ray_jobs.training.promotion import PromotionDecision, Role
from weatherglass.history.prepared import write_manifest
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, GUIDANCE, KINDS, Registry
from weatherglass.store import recalibrations
from weatherglass.store.promotions import CHAMPION_ACTIONS, Action

KEPT_REFITS = 7


def register(task: StepTask) -> tuple[dict[str, str], str]:
    """Register the models with the record of the training, and promote them as decided; versions by kind, and lines.

    If it is interrupted and repeated, no model is registered twice.
    """
    folder, plan = task.folder, task.plan
    decision = folder.load(SCORES, PromotionDecision)
    registry = Registry(task.settings)
    tags = version_tags(plan)
    record = folder.path / "record"
    write_manifest(record, plan.manifest)
    (record / "environment.txt").write_text(environment(), encoding="utf-8")
    guidance = folder.load(GUIDANCE_MODEL, GuidanceTraining)
    metrics = decision.metrics | ({GUIDANCE: guidance.fitted.metrics()} if guidance.fitted else {})
    versions, lines = {}, []
    for kind, model_folder in model_folders(folder).items():
        if plan.kept and kind == FORECASTER and decision.role is Role.NONE:
            lines.append(f"no forecaster was registered: {decision.reason}")
            continue
        if kind not in metrics:
            lines.append(f"no model of guidance was registered: {guidance.reason}")
            continue
        step = f"registered-{kind}"
        if not folder.has(step):
            extra = record if kind == FORECASTER else None
            version = registry.register(kind, model_folder, metrics[kind], decision.params, tags, extra)
            folder.save(step, version)
        versions[kind] = folder.load(step, str)
        lines.append(f"registered {kind} version {versions[kind]}")
    detector = versions[ANOMALY_DETECTOR]
    if forecaster := versions.get(FORECASTER):
        if plan.kept:
            # The forecasts change little by a refit; without a recalibration they would, until the next verification.
            with registry.store().begin() as connection:
                recalibrations.copy(connection, plan.kept.version, forecaster)
        if decision.role is Role.CHAMPION:
            registry.promote(FORECASTER, forecaster, plan.requested_by, decision.reason, decision.figures)
        elif decision.role is Role.CHALLENGER:
            registry.challenge(FORECASTER, forecaster, plan.requested_by, decision.reason, decision.figures)
        place = "neither champion nor challenger" if decision.role is Role.NONE else decision.role.value
        lines.append(f"forecaster {forecaster} is now {place}: {decision.reason}")
    reason = "the newest, with limits from the newest history"
    registry.promote(ANOMALY_DETECTOR, detector, plan.requested_by, reason, decision.metrics[ANOMALY_DETECTOR])
    lines.append(f"anomaly detector {detector} is now champion: {reason}")
    if combination := versions.get(GUIDANCE):
        lines.append(_promote_guidance(registry, plan, combination, guidance))
    if plan.kept:
        lines += _remove_old_refits(task)
    return versions, "\n".join(lines)


def version_tags(plan: TrainingPlan) -> dict[str, str]:
    """The tags of the versions of a training."""
    tags = {
        "size": plan.size,
        "code_version": plan.code,
        "data_source": plan.manifest.source,
        "data_fingerprint": plan.manifest.fingerprint,
        "data_first_hour": plan.manifest.first_hour,
        "data_last_hour": plan.manifest.last_hour,
        "data_new": plan.new_data,
    }
    if plan.kept:
        tags |= {"trees_size": plan.kept.size, "trees_last_hour": plan.kept.last_hour}
    return tags


def _promote_guidance(registry: Registry, plan: TrainingPlan, version: str, guidance: GuidanceTraining) -> str:
    """Promote a model of guidance, unless it is worse than what it combines, or a user has rolled back; a line.

    There is a training every day, so a rollback would last a day at most.
    """
    assert guidance.fitted is not None
    log = [entry for entry in registry.promotions() if entry.kind == GUIDANCE and entry.action in CHAMPION_ACTIONS]
    obstacle = None
    if log and log[-1].action is Action.ROLLBACK:
        obstacle = "the champion was set by a rollback, `weatherglass models promote` ends this"
    elif worse := guidance.fitted.worse_variables:
        obstacle = f"on held-out days it is worse than the guidance or the station alone for {', '.join(worse)}"
    if obstacle:
        return f"guidance {version} is not promoted: {obstacle}"
    registry.promote(GUIDANCE, version, plan.requested_by, guidance.reason, guidance.fitted.metrics())
    return f"guidance {version} is now champion: {guidance.reason}"


def _remove_old_refits(task: StepTask) -> list[str]:
    """Remove all but the newest refits of each kind that have no role, because there is one every day."""
    registry, removed = Registry(task.settings), []
    for kind in KINDS:
        refits = [m for m in registered_models(task.settings) if m.kind == kind and "trees_last_hour" in m.tags]
        for model in refits[KEPT_REFITS:]:
            if not model.aliases:
                registry.remove(kind, model.version)
                removed.append(f"{kind} {model.version}")
    return [f"removed old refits: {', '.join(removed)}"] if removed else []


def environment() -> str:
    """Python version, platform, and every installed package with its version."""
    packages = {f"{package.metadata['Name']}=={package.version}" for package in metadata.distributions()}
    header = f"# Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([header, *sorted(packages, key=str.lower), ""])
