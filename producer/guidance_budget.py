"""How guidance shares the free calls of Open-Meteo with the polls of observations.

The polls have precedence: guidance uses what their interval leaves of a share of a day's calls, in equal intervals of
full hours. The rest of the day's calls is for retries, and for stations that are requested alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from producer.open_meteo import MINUTES_PER_DAY
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source
from weatherglass.settings_errors import variable

PLANNED_CALLS = OPEN_METEO_CALLS_PER_DAY * 85 // 100
"""Calls of a day that are planned: fewer than those at which the alert `budget_nearly_spent` opens."""
MAX_INTERVAL_HOURS = 6
"""Global models have a new run every six hours; rarer guidance would miss runs."""


class NoBudgetError(Exception):
    """The polls of observations leave too few calls for guidance; the message says which settings help."""


@dataclass(frozen=True)
class GuidanceBudget:
    """The plan of a day.

    Attributes:
        interval: time between two fetches of a station.
        calls: calls that guidance may use in 24 hours; None: any number.
    """

    interval: timedelta
    calls: int | None

    def left(self, used_by_guidance: int, used: int) -> int | None:
        """The calls that guidance may use now, after those of the last 24 hours; None: any number."""
        return None if self.calls is None else max(0, min(self.calls - used_by_guidance, PLANNED_CALLS - used))


def plan_budget(settings: Settings, polled: int, stations: int) -> GuidanceBudget:
    """Plan the calls.

    Args:
        polled: number of stations whose observations are polled from Open-Meteo.
        stations: number of stations with guidance, each of which costs a call per model.

    Raises:
        NoBudgetError: the polls leave too few calls.
    """
    if settings.source is Source.REPLAY:
        return GuidanceBudget(timedelta(hours=1), None)
    per_fetch = stations * len(settings.guidance_model_ids)
    left = max(0, PLANNED_CALLS - polled * MINUTES_PER_DAY // settings.poll_minutes)
    for hours in range(1, MAX_INTERVAL_HOURS + 1):
        if per_fetch * fetches_per_day(hours) <= left:
            return GuidanceBudget(timedelta(hours=hours), left)
    raise NoBudgetError(
        f"{variable('guidance_models')}={settings.guidance_models} with {stations} stations needs "
        f"{per_fetch * fetches_per_day(MAX_INTERVAL_HOURS):,} calls a day, but polls of observations every "
        f"{settings.poll_minutes} minutes leave {left:,} of the {PLANNED_CALLS:,} planned ones: increase "
        f"{variable('poll_minutes')}, or use fewer models or stations"
    )


def fetches_per_day(hours: int) -> int:
    """The most fetches in 24 hours with an interval of so many hours."""
    return -(-24 // hours)
