"""How guidance shares the free calls of Open-Meteo with the polls of observations.

The polls have precedence: guidance uses what their interval leaves of a day's calls, in equal intervals of full hours.
Past guidance uses what is left then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from producer.open_meteo import MINUTES_PER_DAY
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source
from weatherglass.settings_errors import SettingsError, variable

MAX_INTERVAL_HOURS = 6
"""Global models have a new run every six hours; rarer guidance would miss runs."""


@dataclass(frozen=True)
class GuidanceBudget:
    """The plan of a day.

    Attributes:
        interval: time between two fetches of a station.
        past_calls: calls a day that are left for past guidance.
    """

    interval: timedelta
    past_calls: int


def plan_budget(settings: Settings, polled: int, stations: int) -> GuidanceBudget:
    """Plan the calls.

    Args:
        polled: number of stations whose observations are polled from Open-Meteo.
        stations: number of stations with guidance, each of which costs a call per model.

    Raises:
        SettingsError: the polls leave too few calls; the message says which settings help.
    """
    per_fetch = stations * len(settings.guidance_model_ids)
    if settings.source is Source.REPLAY:
        return GuidanceBudget(timedelta(hours=1), OPEN_METEO_CALLS_PER_DAY)
    left = OPEN_METEO_CALLS_PER_DAY - polled * MINUTES_PER_DAY // settings.poll_minutes
    for hours in range(1, MAX_INTERVAL_HOURS + 1):
        planned = per_fetch * 24 // hours
        if planned <= left:
            return GuidanceBudget(timedelta(hours=hours), left - planned)
    raise SettingsError(
        f"{variable('guidance_models')}={settings.guidance_models} with {stations} stations needs "
        f"{per_fetch * 24 // MAX_INTERVAL_HOURS:,} calls a day, but polls of observations leave {max(left, 0):,} of "
        f"{OPEN_METEO_CALLS_PER_DAY:,} free ones: increase {variable('poll_minutes')}, or use fewer models or stations"
    )
