"""Hours that forecasts are verified against; the rule of the hour is tested in `history/test_hours.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine

from tests.weatherglass.store.samples import an_observation
from weatherglass.history.grid import HourGrid
from weatherglass.record_headers import Origin
from weatherglass.stations import bundled_stations
from weatherglass.store import observations, verdicts
from weatherglass.store.detection_scores import InjectedFault
from weatherglass.store.verdicts import Judgement, Verdict
from weatherglass.verification import observed_hours

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
FIRST = np.datetime64("2026-01-05T12", "h")
BOSTON = bundled_stations()["boston"]


def row(time: datetime, station_id: str = "boston", **values: float | None) -> dict[str, Any]:
    usual = {"temperature": 5.0, "humidity": 50.0, "pressure": 1000.0, "wind_speed": 3.0, "wind_direction": None}
    return {"station_id": station_id, "timestamp": time, **usual, **values}


def test_a_value_outside_the_range_limits_is_missing() -> None:
    table = pd.DataFrame([row(START, temperature=999.0)])
    [[values]] = observed_hours.grid_from_observations(table, FIRST, FIRST, [BOSTON]).values
    assert np.isnan(values[0])
    assert values[1] == 50.0
    assert values[5] == 3.0


def test_observations_of_other_stations_and_hours_are_ignored() -> None:
    table = pd.DataFrame(
        [
            row(START, temperature=7.0),
            row(START - timedelta(hours=1)),
            row(START + timedelta(hours=2)),
            row(START, "denver", temperature=20.0),
        ]
    )
    grid = observed_hours.grid_from_observations(table, FIRST, FIRST + 1, [bundled_stations()["chicago"], BOSTON])
    assert np.isnan(grid.values[0]).all()
    assert grid.values[1, 0, 0] == 7.0
    assert np.isnan(grid.values[1, 1]).all()


SECOND = timedelta(seconds=1)
TEMPERATURES = {
    START - timedelta(minutes=19) - SECOND: 30.0,
    START - timedelta(minutes=19): 1.0,
    START + timedelta(seconds=59): 3.0,
    START + timedelta(minutes=1): 30.0,
    START + timedelta(minutes=41): 5.0,
    START + timedelta(hours=1): 7.0,
    START + timedelta(minutes=61): 30.0,
}
"""Temperatures of Boston. Those of 30 °C belong to the hour before, or to none."""


@pytest.fixture
def stored(store: Engine) -> Engine:
    with store.begin() as connection:
        rows = [an_observation("boston", time, temperature=value) for time, value in TEMPERATURES.items()]
        observations.save(connection, rows, START)
    return store


def temperatures(grid: HourGrid) -> list[float]:
    return [float(value) for value in grid.values[0, :, 0]]


def test_loaded_hours_are_means_of_the_observations_in_their_windows(stored: Engine) -> None:
    with stored.connect() as connection:
        hours = observed_hours.load_hours(connection, FIRST, FIRST + 1, [BOSTON])
    assert temperatures(hours) == [2.0, 6.0]


def test_excluded_observations_and_injected_faults_are_not_used(stored: Engine) -> None:
    excluded = [("boston", START - timedelta(minutes=19)), ("denver", START + timedelta(hours=1))]
    fault = InjectedFault(
        "boston", "temperature", "spike", START + timedelta(minutes=41), START + timedelta(minutes=41, seconds=30)
    )
    with stored.connect() as connection:
        hours = observed_hours.load_hours(connection, FIRST, FIRST + 1, [BOSTON], excluded, [fault])
    assert temperatures(hours) == [3.0, 7.0]
    assert hours.values[0, 1, 1] == 81.0, "the fault changed the temperature only"


def test_trusted_hours_leave_out_confirmed_readings_but_not_false_alarms(stored: Engine) -> None:
    with stored.begin() as connection:
        for time, judgement in (
            (START - timedelta(minutes=19), Judgement.CONFIRMED),
            (START + timedelta(hours=1), Judgement.FALSE_ALARM),
        ):
            verdicts.save(connection, "boston", time, Verdict(judgement, "user", START, ""))
        hours = observed_hours.load_trusted_hours(connection, FIRST, FIRST + 1, [BOSTON])
    assert temperatures(hours) == [3.0, 6.0]


def test_observations_from_an_excluded_source_are_not_used_and_those_of_an_unknown_one_are(stored: Engine) -> None:
    with stored.begin() as connection:
        for minutes, source in ((-19, Origin.OPEN_METEO), (41, Origin.METAR)):
            time = START + timedelta(minutes=minutes)
            observations.save(
                connection, [an_observation("boston", time, temperature=TEMPERATURES[time])], START, source
            )
        hours = observed_hours.load_trusted_hours(connection, FIRST, FIRST + 1, [BOSTON], [Origin.OPEN_METEO])
    assert temperatures(hours) == [3.0, 6.0]


@pytest.mark.parametrize(("minutes", "day"), [(-20, "2026-01-04"), (-19, "2026-01-05"), (23 * 60, "2026-01-05")])
def test_an_observation_belongs_to_the_day_of_its_hour(minutes: int, day: str) -> None:
    midnight = datetime(2026, 1, 5, tzinfo=UTC)
    assert observed_hours.day_of(midnight + timedelta(minutes=minutes)) == np.datetime64(day)


def test_a_day_has_the_hours_0_to_23() -> None:
    first, last = observed_hours.day_bounds(np.datetime64("2026-01-05"))
    assert (str(first), str(last)) == ("2026-01-05T00", "2026-01-05T23")
