"""Registering what a training made, and giving it its place."""

from __future__ import annotations

import platform
from importlib import metadata

from ray_jobs.training.folder import Plan, TrainingFolder
from ray_jobs.training.promotion import PromotionDecision, models_of
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, Registry
from weatherglass.settings import Settings


def register(settings: Settings, folder: TrainingFolder, plan: Plan) -> str:
    """Register both models with the record of the training; promote what deserves it.

    Killed in between, it registers no model twice.
    """
    verdict: PromotionDecision = folder.load("scores")
    registry = Registry(settings)
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
    for kind, place in models_of(folder).items():
        step = f"registered-{kind}"
        if not folder.has(step):
            extra = record if kind == FORECASTER else None
            folder.save(step, registry.register(kind, place, verdict.metrics[kind], verdict.params, tags, extra))
        versions[kind] = folder.load(step)
        lines.append(f"registered {kind} version {versions[kind]}")
    new = versions[FORECASTER]
    if verdict.promote:
        registry.promote(FORECASTER, new, plan.who, verdict.why, verdict.figures)
        place_taken = "the champion now"
    elif verdict.challenge:
        registry.challenge(FORECASTER, new, plan.who, verdict.why, verdict.figures)
        place_taken = "the challenger now"
    else:
        place_taken = "neither champion nor challenger"
    lines.append(f"forecaster {new} is {place_taken}: {verdict.why}")
    why = "the newest, its limits set on the newest history"
    registry.promote(ANOMALY_DETECTOR, versions[ANOMALY_DETECTOR], plan.who, why, verdict.metrics[ANOMALY_DETECTOR])
    lines.append(f"anomaly detector {versions[ANOMALY_DETECTOR]} is the champion now: {why}")
    folder.save("registered", versions)
    return "\n".join(lines)


def environment() -> str:
    """Python, the machine, and every installed package with its version."""
    packages = sorted({f"{one.metadata['Name']}=={one.version}" for one in metadata.distributions()}, key=str.lower)
    return "\n".join([f"# Python {platform.python_version()} on {platform.platform()}", *packages, ""])
