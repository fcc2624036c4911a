"""Whether degradation may start a training."""

from __future__ import annotations

from datetime import datetime, timedelta

from weatherglass.health import words
from weatherglass.models.catalogue import registered
from weatherglass.models.registry import FORECASTER
from weatherglass.settings import Settings, variable


def due(settings: Settings, now: datetime) -> tuple[bool, str]:
    """Whether the newest forecaster is older than the cool-down, and a sentence about it. `now` in UTC."""
    made = [model.created_at for model in registered(settings) if model.kind == FORECASTER]
    rest = timedelta(hours=settings.retrain_cooldown_hours)
    if not made:
        return True, "no forecaster has been trained yet: a training starts"
    age = now - max(made)
    if age < rest:
        return False, (
            f"the newest forecaster is {words(age)} old; the next training on degradation is due when it is "
            f"{words(rest)} old ({variable('retrain_cooldown_hours')})"
        )
    return True, f"the newest forecaster is {words(age)} old: a training starts"
