"""Whether a training is due: by the calendar, or because a model in service has become worse."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from weatherglass.formatting import words
from weatherglass.registry.catalog import registered
from weatherglass.registry.registry import FORECASTER
from weatherglass.settings import Settings, variable
from weatherglass.store.schema import trainings_asked


def ask(connection: Connection, settings: Settings, now: datetime, degraded: bool) -> tuple[bool, str]:
    """`due`, with the trainings asked for before; notes that one is asked for where it is due. The caller commits."""
    last = connection.execute(select(func.max(trainings_asked.c.at))).scalar()
    wanted, why = due(settings, now, degraded, last)
    if wanted:
        connection.execute(trainings_asked.insert().values(at=now, why=why))
    return wanted, why


def due(settings: Settings, now: datetime, degraded: bool, asked: datetime | None) -> tuple[bool, str]:
    """Whether to train, and a sentence that says why or why not. Times in UTC.

    The calendar asks for a training every `retrain_days`; degradation for one at once, but not within
    `retrain_cooldown_hours` of the last. Nor is one asked for within that time of the last that was, `asked`: it may
    still be at work, or may have failed, and would again. The very first training is not asked for here: the start
    sees to it.
    """
    made = [model.created_at for model in registered(settings) if model.kind == FORECASTER]
    if not made:
        return False, "no forecaster has been trained yet; the start of the pipeline sees to the first one"
    age = now - max(made)
    rest, regular = timedelta(hours=settings.retrain_cooldown_hours), timedelta(days=settings.retrain_days)
    if asked is not None and now - asked < rest:
        return (
            False,
            f"a training was asked for {words(now - asked)} ago; the next no sooner than {words(rest)} after it",
        )
    old = f"the newest forecaster is {words(age)} old"
    if settings.retrain_days and age >= regular:
        return True, f"{old}, a training is due every {words(regular)} ({variable('retrain_days')})"
    if not degraded:
        return False, f"nothing is wrong, and {old}: no training"
    if age < rest:
        return False, f"a model has become worse, but {old}; a training waits until it is {words(rest)} old"
    return True, f"a model has become worse, and {old}: a training starts"
