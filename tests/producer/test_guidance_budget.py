from __future__ import annotations

from datetime import timedelta

import pytest

from producer.guidance_budget import plan_budget
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source
from weatherglass.settings_errors import SettingsError

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("polled", "stations", "models", "hours"),
    [
        (22, 22, "a", 1),
        (22, 22, "a,b,c", 1),
        (33, 33, "a", 2),
        (34, 34, "a", 4),
        (0, 200, "a,b", 1),
        (33, 33, "a,a", 2),
    ],
)
def test_the_interval_is_the_shortest_that_the_polls_leave_calls_for(
    polled: int, stations: int, models: str, hours: int
) -> None:
    settings = Settings(source=Source.AUTO, poll_minutes=5, guidance_models=models)
    budget = plan_budget(settings, polled, stations)
    assert budget.interval == hours * HOUR
    fetches = 24 // hours * stations * len(set(models.split(",")))
    assert polled * 288 + fetches + budget.past_calls <= OPEN_METEO_CALLS_PER_DAY
    assert budget.past_calls >= 0


def test_too_few_calls_are_refused() -> None:
    settings = Settings(source=Source.AUTO, poll_minutes=5, guidance_models="a,b")
    with pytest.raises(SettingsError, match=r"WEATHERGLASS_POLL_MINUTES"):
        plan_budget(settings, 34, 34)


def test_the_replay_has_no_budget() -> None:
    assert plan_budget(Settings(source=Source.REPLAY), 1_000, 1_000).interval == HOUR
