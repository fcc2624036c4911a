"""Decide whether a training is due because a model in service has degraded; the schedules are those of DAGs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, func, select

from weatherglass.formatting import format_duration
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import FORECASTER
from weatherglass.settings import Settings
from weatherglass.store.schema import retraining_requests


class RetrainingCode(StrEnum):
    """Why a training is due or not."""

    DEGRADED = "degraded"
    NO_MODEL = "no_model"
    COOL_DOWN = "cool_down"
    NOT_NEEDED = "not_needed"


@dataclass(frozen=True)
class RetrainingDecision:
    """Whether a training is due; `reason` explains it in a sentence for the task log."""

    code: RetrainingCode
    reason: str

    @property
    def due(self) -> bool:
        return self.code is RetrainingCode.DEGRADED


def request_if_due(connection: Connection, settings: Settings, now: datetime, degraded: bool) -> RetrainingDecision:
    """Decide with `decide`, and store a request if a training is due. The caller commits."""
    last = connection.execute(select(func.max(retraining_requests.c.at))).scalar()
    decision = decide(settings, now, degraded, last)
    if decision.due:
        connection.execute(retraining_requests.insert().values(at=now, reason=decision.reason))
    return decision


def decide(settings: Settings, now: datetime, degraded: bool, last_request: datetime | None) -> RetrainingDecision:
    """Decide whether to start a training.

    A training is due on degradation, but not within `retrain_cooldown_hours` of the newest training or of the last
    request: that training may still be running, or it may have failed and would fail again. Daily refits, which keep
    the trees, do not count. The start of the pipeline triggers the very first training.

    Args:
        now, last_request: UTC.
        degraded: whether a model in service is worse than it was.
    """
    trained = [
        model.created_at
        for model in registered_models(settings)
        if model.kind == FORECASTER and "trees_last_hour" not in model.tags
    ]
    if not trained:
        return RetrainingDecision(
            RetrainingCode.NO_MODEL,
            "No training: there is no forecaster yet, and the start of the pipeline triggers the first training",
        )
    age = now - max(trained)
    cool_down = timedelta(hours=settings.retrain_cooldown_hours)
    if last_request is not None and now - last_request < cool_down:
        return RetrainingDecision(
            RetrainingCode.COOL_DOWN,
            f"No training: the last one was requested {format_duration(now - last_request)} ago, within the cool-down "
            f"of {format_duration(cool_down)}",
        )
    newest = f"the newest forecaster is {format_duration(age)} old"
    if not degraded:
        return RetrainingDecision(RetrainingCode.NOT_NEEDED, f"No training: no degradation, and {newest}")
    if age < cool_down:
        return RetrainingDecision(
            RetrainingCode.COOL_DOWN,
            f"No training: a model has degraded, but {newest}, within the cool-down of {format_duration(cool_down)}",
        )
    return RetrainingDecision(RetrainingCode.DEGRADED, f"Training due: a model has degraded, and {newest}")
