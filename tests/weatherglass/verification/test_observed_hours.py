from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ray_jobs.windows import windows_of
from weatherglass.history.hours import affected_hours, hour_from_windows
from weatherglass.stations import known_stations
from weatherglass.verification import observed_hours

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
BOSTON = known_stations()["boston"]


@given(st.dictionaries(st.integers(0, 5 * 60), st.integers(-20, 30), min_size=1, max_size=40))
def test_an_hour_of_observations_is_the_hour_that_their_windows_make(readings: dict[int, int]) -> None:
    """The same rule down the other road: through windows, as the stream has it."""
    times = {START + timedelta(minutes=minute): float(value) for minute, value in readings.items()}
    windows = windows_of("boston", times)
    by_end = {window.window_end: window.aggregated_features for window in windows}
    touched = {hour for window in windows for hour in affected_hours(window)}
    expected = {hour: hour_from_windows("boston", hour, by_end) for hour in touched}
    table = pd.DataFrame(
        [
            {
                "station_id": "boston",
                "timestamp": time,
                "temperature": value,
                **{"humidity": 50.0, "pressure": 1000.0, "wind_speed": 3.0, "wind_direction": 90.0},
            }
            for time, value in times.items()
        ]
    )
    first = np.datetime64("2026-01-05T11", "h")
    grid = observed_hours.hours_of(table, first, first + 8, [BOSTON])
    found = {
        hour.astype("datetime64[s]").item().replace(tzinfo=UTC): value
        for hour, value in zip(grid.hours, grid.values[0, :, 0], strict=True)
        if np.isfinite(value)
    }
    known = {hour: made.temperature for hour, made in expected.items() if made and made.temperature is not None}
    assert set(found) == set(known)
    assert all(found[hour] == pytest.approx(known[hour], abs=1e-4) for hour in known)


def test_what_no_instrument_can_give_is_no_truth() -> None:
    table = pd.DataFrame(
        [
            {
                "station_id": "boston",
                "timestamp": START,
                **{"temperature": 999.0, "humidity": 50.0, "pressure": 1000.0, "wind_speed": 3.0},
                "wind_direction": None,
            }
        ]
    )
    first = np.datetime64("2026-01-05T12", "h")
    [[values]] = observed_hours.hours_of(table, first, first, [BOSTON]).values
    assert np.isnan(values[0])
    assert values[1] == 50.0
    assert values[5] == 3.0
