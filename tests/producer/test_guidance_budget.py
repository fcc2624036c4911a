from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.guidance_budget import MAX_INTERVAL_HOURS, PLANNED_CALLS, NoBudgetError, plan_budget
from weatherglass.alerts.rules import RULES
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("polled", "stations", "models", "hours"),
    [
        (22, 22, "a", 1),
        (22, 22, "a,b,c", 1),
        (28, 28, "a", 2),
        (29, 29, "a", 5),
        (0, 150, "a,b", 1),
        (28, 28, "a,a", 2),
        (0, 1_500, "a", 5),  # five fetches a day
    ],
)
def test_the_interval_is_the_shortest_that_the_polls_leave_calls_for(
    polled: int, stations: int, models: str, hours: int
) -> None:
    settings = Settings(source=Source.AUTO, poll_minutes=5, guidance_models=models)
    budget = plan_budget(settings, polled, stations)
    assert budget.interval == hours * HOUR
    fetches = len(range(0, 24, hours)) * stations * len(set(models.split(",")))
    assert budget.calls is not None
    assert fetches <= budget.calls
    assert polled * 288 + budget.calls == PLANNED_CALLS


@given(polled=st.integers(0, 40), stations=st.integers(1, 3_000), models=st.integers(1, 5), minutes=st.integers(1, 5))
def test_planned_polls_and_fetches_stay_within_the_plan(polled: int, stations: int, models: int, minutes: int) -> None:
    names = ",".join(f"model_{number}" for number in range(models))
    settings = Settings(source=Source.AUTO, poll_minutes=minutes, guidance_models=names)
    polls, per_fetch = polled * (24 * 60 // minutes), stations * models
    try:
        hours = plan_budget(settings, polled, stations).interval // HOUR
    except NoBudgetError:
        assert polls + per_fetch * len(range(0, 24, MAX_INTERVAL_HOURS)) > PLANNED_CALLS
        return
    assert polls + per_fetch * len(range(0, 24, hours)) <= PLANNED_CALLS
    assert hours == 1 or polls + per_fetch * len(range(0, 24, hours - 1)) > PLANNED_CALLS


def test_the_plan_opens_no_alert_about_the_budget() -> None:
    (rule,) = (rule for rule in RULES if rule.name == "budget_nearly_spent")
    assert rule.threshold > PLANNED_CALLS / OPEN_METEO_CALLS_PER_DAY


@pytest.mark.parametrize(("polled", "stations"), [(29, 100), (34, 34)])
def test_too_few_calls_are_refused(polled: int, stations: int) -> None:
    settings = Settings(source=Source.AUTO, poll_minutes=5, guidance_models="a,b")
    with pytest.raises(NoBudgetError, match=r"WEATHERGLASS_POLL_MINUTES"):
        plan_budget(settings, polled, stations)


def test_calls_of_guidance_and_of_all_polls_are_subtracted() -> None:
    budget = plan_budget(Settings(source=Source.AUTO, poll_minutes=5, guidance_models="a"), 22, 22)
    assert budget.calls == 2_164
    assert budget.left(0, 0) == 2_164
    assert budget.left(164, 164) == 2_000  # the polls of the day have precedence
    assert budget.left(100, PLANNED_CALLS - 50) == 50
    assert budget.left(3_000, 3_000) == 0


def test_the_replay_has_no_budget() -> None:
    budget = plan_budget(Settings(source=Source.REPLAY), 1_000, 1_000)
    assert (budget.interval, budget.left(10_000, 10_000)) == (HOUR, None)
