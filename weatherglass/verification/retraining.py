"""Whether a training is due: by the calendar, or because a model in service has become worse."""

from __future__ import annotations

from datetime import datetime, timedelta

from weatherglass.health import words
from weatherglass.models.catalogue import registered
from weatherglass.models.registry import FORECASTER
from weatherglass.settings import Settings, variable


def due(settings: Settings, now: datetime, degraded: bool) -> tuple[bool, str]:
    """Whether to train, and a sentence that says why or why not. `now` in UTC.

    The calendar asks for a training every `retrain_days`; degradation for one at once, but not within
    `retrain_cooldown_hours` of the last. The very first training is not asked for here: the start sees to it.
    """
    made = [model.created_at for model in registered(settings) if model.kind == FORECASTER]
    if not made:
        return False, "no forecaster has been trained yet; the start of the pipeline sees to the first one"
    age = now - max(made)
    rest, regular = timedelta(hours=settings.retrain_cooldown_hours), timedelta(days=settings.retrain_days)
    old = f"the newest forecaster is {words(age)} old"
    if settings.retrain_days and age >= regular:
        return True, f"{old}, a training is due every {words(regular)} ({variable('retrain_days')})"
    if not degraded:
        return False, f"nothing is wrong, and {old}: no training"
    if age < rest:
        return False, f"a model has become worse, but {old}; a training waits until it is {words(rest)} old"
    return True, f"a model has become worse, and {old}: a training starts"
