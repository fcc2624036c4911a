"""Registration of the trained models, and their promotion."""

from __future__ import annotations

import platform
from importlib import metadata

from ray_jobs.training.context import StepTask
from ray_jobs.training.plan import SCORES
from ray_jobs.training.promotion import PromotionDecision, Role, model_folders
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, Registry


def register(task: StepTask) -> tuple[dict[str, str], str]:
    """Register both models with the record of the training, and promote them as decided; versions by kind, and lines.

    If it is interrupted and repeated, no model is registered twice.
    """
    folder, plan = task.folder, task.plan
    decision = folder.load(SCORES, PromotionDecision)
    registry = Registry(task.settings)
    tags = {
        "size": plan.size,
        "code_version": plan.code,
        "data_source": plan.manifest.source,
        "data_fingerprint": plan.manifest.fingerprint,
        "data_first_hour": plan.manifest.first_hour,
        "data_last_hour": plan.manifest.last_hour,
    }
    record = folder.path / "record"
    (record / "environment.txt").write_text(environment(), encoding="utf-8")
    versions, lines = {}, []
    for kind, model_folder in model_folders(folder).items():
        step = f"registered-{kind}"
        if not folder.has(step):
            extra = record if kind == FORECASTER else None
            version = registry.register(kind, model_folder, decision.metrics[kind], decision.params, tags, extra)
            folder.save(step, version)
        versions[kind] = folder.load(step, str)
        lines.append(f"registered {kind} version {versions[kind]}")
    forecaster, detector = versions[FORECASTER], versions[ANOMALY_DETECTOR]
    if decision.role is Role.CHAMPION:
        registry.promote(FORECASTER, forecaster, plan.requested_by, decision.reason, decision.figures)
    elif decision.role is Role.CHALLENGER:
        registry.challenge(FORECASTER, forecaster, plan.requested_by, decision.reason, decision.figures)
    place = "neither champion nor challenger" if decision.role is Role.NONE else decision.role.value
    lines.append(f"forecaster {forecaster} is now {place}: {decision.reason}")
    reason = "the newest, with limits from the newest history"
    registry.promote(ANOMALY_DETECTOR, detector, plan.requested_by, reason, decision.metrics[ANOMALY_DETECTOR])
    lines.append(f"anomaly detector {detector} is now champion: {reason}")
    return versions, "\n".join(lines)


def environment() -> str:
    """Python version, platform, and every installed package with its version."""
    packages = {f"{package.metadata['Name']}=={package.version}" for package in metadata.distributions()}
    header = f"# Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([header, *sorted(packages, key=str.lower), ""])
