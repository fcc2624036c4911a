"""Hours that forecasts are verified against; the rule of the hour is tested in `history/test_hours.py`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weatherglass.stations import known_stations
from weatherglass.verification import observed_hours

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
FIRST = np.datetime64("2026-01-05T12", "h")
BOSTON = known_stations()["boston"]


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
    grid = observed_hours.grid_from_observations(table, FIRST, FIRST + 1, [known_stations()["chicago"], BOSTON])
    assert np.isnan(grid.values[0]).all()
    assert grid.values[1, 0, 0] == 7.0
    assert np.isnan(grid.values[1, 1]).all()


@pytest.mark.parametrize(("minutes", "day"), [(-20, "2026-01-04"), (-19, "2026-01-05"), (23 * 60, "2026-01-05")])
def test_an_observation_belongs_to_the_day_of_its_hour(minutes: int, day: str) -> None:
    midnight = datetime(2026, 1, 5, tzinfo=UTC)
    assert observed_hours.day_of(midnight + timedelta(minutes=minutes)) == np.datetime64(day)


def test_a_day_has_the_hours_0_to_23() -> None:
    first, last = observed_hours.day_bounds(np.datetime64("2026-01-05"))
    assert (str(first), str(last)) == ("2026-01-05T00", "2026-01-05T23")
