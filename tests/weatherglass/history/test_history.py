from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from tests.oracle import expected_features
from tests.synthetic_history import stations
from weatherglass.history.grid import GRID_VARIABLES
from weatherglass.history.hours import HOUR_WINDOW_ENDS, WINDOW, affected_hours, hour_from_windows
from weatherglass.history.prepared import grid_from_table
from weatherglass.meteorology import wind_components, wind_direction
from weatherglass.records import AggregatedFeatures, WindowFeatures

START = datetime(2014, 3, 1, tzinfo=UTC)


def observed(hours: int) -> list[dict]:
    rng = np.random.default_rng(5)
    return [
        {
            "station_id": "s0",
            "timestamp": START + timedelta(hours=hour),
            "temperature": round(float(rng.normal(10, 5)), 1),
            "humidity": round(float(rng.uniform(20, 100)), 0),
            "pressure": round(float(rng.normal(1005, 8)), 1),
            "wind_speed": round(float(rng.uniform(0.1, 12)), 1),
            "wind_direction": round(float(rng.uniform(0, 360)), 0),
        }
        for hour in range(hours)
    ]


def windows_of(observations: list[dict]) -> dict[datetime, AggregatedFeatures]:
    return {
        end: AggregatedFeatures.model_validate(features)
        for (_, end), features in expected_features(observations).items()
    }


def test_windows_and_history_make_the_same_hours() -> None:
    """Instants on the hour, down both roads: as rows of history, and as windows that become hours."""
    observations = observed(30)
    table = pd.DataFrame(observations).rename(columns={"timestamp": "hour"})
    grid = grid_from_table(table, stations(1))
    windows = windows_of(observations)
    for index in range(30):
        hour = hour_from_windows("s0", START + timedelta(hours=index), windows)
        assert hour is not None
        values = [getattr(hour, name) for name in GRID_VARIABLES]
        np.testing.assert_allclose(values, grid.values[0, index], rtol=1e-5, atol=1e-5)


def test_an_hour_is_the_mean_of_its_distinct_observations_whatever_their_windows() -> None:
    minutes = (-19, -15, -10, -4, 0)
    outside = (-20, 1)
    hour = START + timedelta(hours=3)
    row = observed(1)[0]
    observations = [
        {**row, "timestamp": hour + timedelta(minutes=m), "temperature": float(10 + m)} for m in (*minutes, *outside)
    ]
    made = hour_from_windows("s0", hour, windows_of(observations))
    assert made is not None
    assert made.count == len(minutes)
    assert made.temperature == pytest.approx(np.mean([10 + m for m in minutes]))


def test_an_hour_without_windows_is_missing() -> None:
    assert hour_from_windows("s0", START, {}) is None


def test_each_window_of_the_hour_touches_it_and_no_other_window_does() -> None:
    features = next(iter(windows_of(observed(1)).values()))
    hour = START + timedelta(hours=1)
    for minute in range(-60, 60):
        end = hour + timedelta(minutes=minute)
        touched = affected_hours(
            WindowFeatures(station_id="s0", window_start=end - WINDOW, window_end=end, aggregated_features=features)
        )
        assert (hour in touched) == (timedelta(minutes=minute) in HOUR_WINDOW_ENDS)


def test_wind_comes_back_from_its_components() -> None:
    direction = np.array([0.0, 45.0, 90.0, 225.0, 359.0])
    u, v = wind_components(np.full(5, 4.0), direction)
    np.testing.assert_allclose(wind_direction(u, v), direction, atol=1e-9)
    np.testing.assert_allclose(np.hypot(u, v), 4.0)
    assert wind_components(0.0, np.nan) == (0.0, 0.0)


def test_left_out_stretches_are_missing_and_nothing_else() -> None:
    table = pd.DataFrame(observed(30)).rename(columns={"timestamp": "hour"})
    grid = grid_from_table(table, stations(1), [(START + timedelta(hours=4), START + timedelta(hours=9))])
    missing = np.isnan(grid.values[0]).all(axis=1)
    assert np.flatnonzero(missing).tolist() == [4, 5, 6, 7, 8, 9]
    assert np.isfinite(grid.values[0, ~missing]).all()
