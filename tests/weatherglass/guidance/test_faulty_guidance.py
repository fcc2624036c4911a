"""Faults of guidance that begin while it is in service: how long they make the forecasts worse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache

import numpy as np
import pytest

from ray_jobs.training.guidance import fit_on
from tests.ray_jobs.small_models import without_trees
from tests.synthetic_history import history
from tests.weatherglass.guidance.records import a_run, runs_of
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.guidance.known_runs import PAST_HOURS, KnownGuidance, KnownRuns
from weatherglass.guidance.recent_errors import CHECKED_HOURS, MAX_RATIO, checked_errors, combine_models
from weatherglass.guidance_record import Guidance
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS

pytestmark = pytest.mark.integration

STATIONS, DAYS = 8, 62
TRAINED = 24 * 30
EVENTS = tuple(range(TRAINED + 151, 24 * DAYS - 120, 35))
"""Columns at which a fault begins, at all hours of the day. Together with the stations these are the seeds."""


@cache
def weather() -> HourGrid:
    return history(count=STATIONS, days=DAYS, seed=21)


@cache
def combination() -> GuidanceCombination:
    grid = weather().part(0, TRAINED)
    runs = KnownRuns().with_records(runs_of(grid, range(STATIONS)), 0)
    return fit_on(without_trees(), grid, runs, False).model


@cache
def usual_runs(column: int) -> list[Guidance]:
    return runs_of(weather(), range(STATIONS), [column])


def moved(row: int, column: int, hours: int) -> Guidance:
    """The run received at a column, with the values for `hours` later as if they were for the valid times."""
    run, delay = a_run(weather(), row, column + hours), timedelta(hours=hours)
    times = [time - delay for time in run.values.valid_times]
    values = run.values.model_copy(update={"valid_times": times})
    return run.model_copy(update={"run": run.run - delay, "fetched_at": run.fetched_at - delay, "values": values})


def a_usual_run(row: int, column: int) -> Guidance:
    return a_run(weather(), row, column)


def warmer(row: int, column: int) -> Guidance:
    return a_run(weather(), row, column, change=lambda values: values + np.array([5.0, 0, 0, 0]))


def shifted(row: int, column: int) -> Guidance:
    return moved(row, column, 6)


def frozen(row: int, column: int) -> Guidance:
    """That of the day before."""
    return moved(row, column, -24)


def errors_since(fault: Callable[[int, int], Guidance], hours: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute errors (hours, variables) of the forecasts in service and of the stations alone, after a fault."""
    grid, model, made = weather(), without_trees(), []
    for event in EVENTS:
        usual = [run for column in range(event - PAST_HOURS - 30, event) for run in usual_runs(column)]
        broken = [fault(row, column) for row in range(STATIONS) for column in range(event, event + 80, 6)]
        runs = KnownRuns().with_records([*usual, *broken], 0)
        columns = [event + hour for hour in hours for _ in range(STATIONS)]
        own = model.forecast(grid, list(range(STATIONS)) * len(hours), columns)
        served = combination().combine(own, grid, runs).forecast
        at = np.array(columns)[:, None] + np.array(LEADS)
        rows = np.tile(np.arange(STATIONS), len(hours))[:, None]
        truth = grid.values[rows, at][..., [0, 1, 2, 5]]
        error = np.abs(np.stack([served.values, own.values]) - truth).mean(axis=2)
        made.append(error.reshape(2, len(hours), STATIONS, -1).mean(axis=2))
    served_error, own_error = np.mean(made, axis=0)
    return served_error, own_error


@pytest.mark.parametrize("fault", [warmer, shifted, frozen])
def test_from_six_hours_after_a_fault_on_forecasts_are_about_as_good_as_those_of_the_station_alone(
    fault: Callable[[int, int], Guidance],
) -> None:
    served, own = errors_since(fault, [6, 9, 12, 24, 30, 48, 60, 72])
    changed = [0] if fault is warmer else range(4)
    assert (served[:, changed] <= 1.15 * own[:, changed]).all()
    assert (served.mean(axis=0) <= 1.05 * own.mean(axis=0)).all()


def test_guidance_without_a_fault_is_used() -> None:
    served, own = errors_since(a_usual_run, [6, 72])
    assert (served < 0.6 * own).all()


def test_after_a_fault_guidance_is_used_again_only_after_a_day_of_good_hours() -> None:
    """Each hour of the last day is checked, because a fault can be invisible at some hours of the day."""
    error = np.random.default_rng(1).normal(size=(1, 1, PAST_HOURS, 1))
    assert (checked_errors(error) <= MAX_RATIO).all()
    for ago in (0, 6, 12, 23):
        faulty = error.copy()
        faulty[:, :, PAST_HOURS - ago - CHECKED_HOURS : PAST_HOURS - ago] += 8.0
        checked = checked_errors(faulty)
        assert (checked > MAX_RATIO).any()
        assert (checked[..., -1, :] > MAX_RATIO).all() == (ago == 0)


@pytest.mark.parametrize("age", [6, 12, 24, 36, 48, 72])
def test_the_mean_error_does_not_absorb_a_change_of_the_model(age: int) -> None:
    """A change by five usual errors excludes the model for three days, in the changed variable only."""
    error = np.random.default_rng(2).normal(size=(20, 1, PAST_HOURS, 4))
    error[..., PAST_HOURS - age :, 0] += 5.0
    ahead = np.zeros((20, 1, len(LEADS), 4), np.float32)
    known = KnownGuidance(("model",), ahead, -error.astype(np.float32), ((None,),) * 20)
    observed = np.zeros((20, PAST_HOURS, 4), np.float32)
    usable = combine_models(known, observed, np.zeros((20, len(LEADS), 4)), np.full(4, 0.8)).usable
    assert not usable[:, 0].any()
    assert usable[:, 1:].all()
