"""Formulas against published values."""

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.meteorology import (
    apparent_temperature,
    dew_point,
    sea_level_pressure,
    standard_pressure,
    wind_components,
    wind_direction,
)


@pytest.mark.parametrize(("temperature", "humidity", "expected"), [(20, 100, 20.0), (20, 50, 9.3), (30, 70, 23.9)])
def test_the_dew_point_is_that_of_the_table(temperature: float, humidity: float, expected: float) -> None:
    assert dew_point(temperature, humidity) == pytest.approx(expected, abs=0.05)


def test_sea_level_pressure_is_that_of_the_standard_atmosphere() -> None:
    """ISO 2533: 954.61 hPa and 11.75 °C at 500 m, 1013.25 hPa below it."""
    assert sea_level_pressure(954.61, 11.75, 0.0, 500.0) == pytest.approx(1013.25, abs=0.05)
    assert sea_level_pressure(1000.0, 15.0, 60.0, 0.0) == 1000.0
    assert sea_level_pressure(1000.0, 15.0, 60.0, 100.0) > sea_level_pressure(1000.0, 25.0, 60.0, 100.0), (
        "warm air is lighter"
    )


def test_the_vapour_of_the_air_lowers_the_sea_level_pressure_as_the_formula_says() -> None:
    """WMO-No. 8: e from Magnus' formula over water at 20 °C and 60 %, then Ch = 0.12 K/hPa."""
    vapour = 6.112 * np.exp(17.62 * 20 / (243.12 + 20)) * 0.6
    column = 273.15 + 20 + 0.0065 * 500 / 2 + 0.12 * vapour
    expected = 1000 * 10 ** (0.0148275 * 500 / column)
    assert sea_level_pressure(1000.0, 20.0, 60.0, 500.0) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("elevation", "is_recommended"), [(-430.1, False), (-430, True), (750, True), (750.1, False), (1609, False)]
)
def test_pressure_is_reduced_at_the_recommended_elevations_only(elevation: float, is_recommended: bool) -> None:
    assert np.isfinite(sea_level_pressure(900.0, 5.0, 50.0, elevation)) == is_recommended


def test_apparent_temperature_falls_with_wind_and_rises_with_humidity() -> None:
    """The first value: 0.33 x 11.67 hPa - 0.70 x 5 m/s - 4 below 20 °C and 50 %."""
    assert apparent_temperature(20, 50, 5) == pytest.approx(16.3, abs=0.1)
    assert apparent_temperature(30, 80, 1) > apparent_temperature(30, 30, 1) > apparent_temperature(30, 30, 10)


def test_the_wind_direction_is_recovered_from_components() -> None:
    direction = np.array([0.0, 45.0, 90.0, 225.0, 359.0])
    u, v = wind_components(np.full(5, 4.0), direction)
    np.testing.assert_allclose(wind_direction(u, v), direction, atol=1e-9)
    np.testing.assert_allclose(np.hypot(u, v), 4.0)


def test_a_west_wind_blows_towards_the_east() -> None:
    u, v = wind_components(3.0, 270.0)
    assert (u, v) == (pytest.approx(3.0), pytest.approx(0.0))


def test_a_calm_has_zero_components_and_no_direction() -> None:
    assert wind_components(0.0, np.nan) == (0.0, 0.0)
    assert np.isnan(wind_direction(0.0, 0.0))


def test_standard_pressure_is_that_of_the_table() -> None:
    """ISO 2533: 954.61 hPa at 500 m, 794.95 hPa at 2000 m."""
    assert standard_pressure(500) == pytest.approx(954.61, abs=0.05)
    assert standard_pressure(2000) == pytest.approx(794.95, abs=0.05)
