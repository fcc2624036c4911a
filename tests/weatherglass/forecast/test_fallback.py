from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.synthetic_history import stations
from weatherglass.forecast.fallback import PersistenceForecaster, history_hours, persistence_spread
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.history.grid import HourGrid
from weatherglass.history.sources import kaggle
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import LEADS, VARIABLES, Method

HOURS, BASE = 100, 90
BORROWED_HALF_WIDTH = [20, 50, 100, 12]


@pytest.fixture
def grid() -> HourGrid:
    """Three stations at elevations of 0, 1000 and 0 m without any value."""
    first, second, third = stations(3)
    places = (replace(first, elevation=0.0), replace(second, elevation=1000.0), replace(third, elevation=None))
    return HourGrid(places, np.datetime64("2026-01-01T00", "h"), np.full((3, HOURS, 6), np.nan, np.float32))


def report(grid: HourGrid, station: int, hour: int, *values: float) -> None:
    """Set temperature, humidity, pressure, wind components and speed of one hour."""
    grid.values[station, hour] = values


def forecast(grid: HourGrid, station: int) -> Forecast:
    return PersistenceForecaster().forecast(grid, [station], [BASE])


def test_the_newest_value_of_the_last_72_hours_is_repeated(grid: HourGrid) -> None:
    report(grid, 0, BASE - 71, 5.0, 60.0, 1000.0, 3.0, 4.0, np.nan)
    report(grid, 0, BASE - 10, 7.0, np.nan, np.nan, np.nan, np.nan, np.nan)
    report(grid, 0, BASE + 1, 30.0, 1.0, 900.0, 0.0, 0.0, 0.0)
    result = forecast(grid, 0)
    np.testing.assert_allclose(result.values[0], [[7.0, 60.0, 1000.0, 5.0]] * len(LEADS))
    for level in (0.8, 0.9):
        half = persistence_spread(level)
        np.testing.assert_allclose(result.upper[level][0, :, 2] - 1000, half[:, 2])
        np.testing.assert_allclose(7 - result.lower[level][0, :, 0], half[:, 0])
    assert result.methods == (Method.PERSISTENCE,)
    assert result.base_hours[0] == grid.start + BASE
    assert result.history_hours.tolist() == [2]


def test_a_variable_without_own_value_is_the_mean_of_the_other_stations_newest_values(grid: HourGrid) -> None:
    report(grid, 0, BASE, 10.0, 50.0, 1010.0, 0.0, 2.0, 2.0)
    report(grid, 1, BASE - 5, 20.0, 80.0, 990.0, 0.0, 4.0, 4.0)
    report(grid, 1, BASE - 72, 99.0, 99.0, 99.0, 0.0, 9.0, 9.0)
    result = forecast(grid, 2)
    np.testing.assert_allclose(result.values[0, 0], [15.0, 65.0, 1000.0, 3.0])
    np.testing.assert_allclose(result.upper[0.9][0, 0], [35.0, RANGE_LIMITS["humidity"].high, 1100.0, 15.0])
    np.testing.assert_allclose(result.lower[0.8][0, 0], [-5.0, 15.0, 900.0, 0.0])


def test_a_value_older_than_72_hours_is_not_used(grid: HourGrid) -> None:
    report(grid, 0, BASE - 72, 5.0, 60.0, 1000.0, 3.0, 4.0, 5.0)
    np.testing.assert_array_equal(forecast(grid, 0).values[0, 0], [15, 70, 1013.25, 3])
    report(grid, 0, BASE - 71, 5.0, 60.0, 1000.0, 3.0, 4.0, 5.0)
    np.testing.assert_array_equal(forecast(grid, 0).values[0, 0], [5, 60, 1000, 5])


def test_a_single_other_station_is_borrowed_from(grid: HourGrid) -> None:
    report(grid, 0, BASE, 10.0, 50.0, 1010.0, 0.0, 2.0, 2.0)
    np.testing.assert_array_equal(forecast(grid, 1).values[0, 0], [10, 50, 1010, 2])


@pytest.mark.parametrize(("station", "pressure"), [(0, 1013.25), (1, 898.75), (2, 1013.25)])
def test_without_any_value_the_forecast_is_the_standard_atmosphere(
    grid: HourGrid, station: int, pressure: float
) -> None:
    """898.75 hPa at 1000 m is from the tables of ICAO Doc 7488."""
    result = forecast(grid, station)
    np.testing.assert_allclose(result.values[0, :, 2], pressure, atol=0.02)
    np.testing.assert_array_equal(result.values[0, 5, [0, 1, 3]], [15, 70, 3])
    np.testing.assert_allclose(result.upper[0.8][0, 0, 0] - 15, BORROWED_HALF_WIDTH[0])


def test_half_widths_are_interpolated_between_the_measured_leads() -> None:
    for level, at_1_h, at_3_h in ((0.8, 1.5, 3.7), (0.9, 2.2, 5.1)):
        spread = persistence_spread(level)
        assert spread.shape == (24, 4)
        np.testing.assert_allclose(spread[:3, 0], [at_1_h, (at_1_h + at_3_h) / 2, at_3_h])
    np.testing.assert_allclose(persistence_spread(0.9)[-1], [6.3, 28, 12, 4])
    measured = np.array([1, 3, 6, 9, 12, 15, 18, 21, 24])
    np.testing.assert_allclose(
        persistence_spread(0.9)[measured - 1, 0], [2.2, 5.1, 8.6, 10.7, 11.5, 11.1, 9.5, 7.4, 6.3]
    )
    np.testing.assert_allclose(persistence_spread(0.9)[13 - 1, 0], 11.5 - 0.4 / 3)


@pytest.mark.parametrize(
    ("variable", "tolerance"), [("temperature", 0.2), ("humidity", 1), ("pressure", 1), ("wind_speed", 0.5)]
)
def test_half_widths_are_quantiles_of_the_error_of_persistence(
    test_data: Path, variable: str, tolerance: float
) -> None:
    """Over all cities and hours of Kaggle's data; all variables but the temperature have whole numbers there."""
    table = kaggle.read_variable(test_data / "historical-hourly-weather-data.zip", variable).table
    series = table.reindex(pd.date_range(table.index.min(), table.index.max(), freq="h")).to_numpy(float)
    for level in LEVELS:
        for lead in (1, 3, 6, 12, 18, 24):
            expected = np.nanquantile(np.abs(series[lead:] - series[:-lead]), level)
            found = persistence_spread(level)[lead - 1, VARIABLES.index(variable)]
            assert found == pytest.approx(expected, abs=tolerance + 0.001), (level, lead)


def test_history_hours_count_temperatures_of_the_72_hours_up_to_the_base_hour(grid: HourGrid) -> None:
    grid.values[0, :, 0] = 1.0
    grid.values[1, BASE - 3 : BASE, 0] = 1.0
    grid.values[2, :, 1] = 1.0
    rows, base = np.array([0, 0, 0, 1, 1, 2]), np.array([BASE, 71, 10, BASE, BASE - 3, BASE])
    np.testing.assert_array_equal(history_hours(grid, rows, base), [72, 72, 11, 3, 1, 0])
