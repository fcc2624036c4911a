"""Formulas against values that others published."""

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.meteorology import apparent_temperature, dew_point, sea_level_pressure


@pytest.mark.parametrize(("temperature", "humidity", "expected"), [(20, 100, 20.0), (20, 50, 9.3), (30, 70, 23.9)])
def test_dew_point(temperature: float, humidity: float, expected: float) -> None:
    assert dew_point(temperature, humidity) == pytest.approx(expected, abs=0.05)


def test_pressure_at_sea_level_is_that_of_the_standard_atmosphere() -> None:
    """ISO 2533: 954.61 hPa and 11.75 °C at 500 m, 1013.25 hPa below it."""
    assert sea_level_pressure(954.61, 11.75, 0.0, 500.0) == pytest.approx(1013.25, abs=0.05)
    assert sea_level_pressure(1000.0, 15.0, 60.0, 0.0) == 1000.0
    assert sea_level_pressure(1000.0, 15.0, 60.0, 100.0) > sea_level_pressure(1000.0, 25.0, 60.0, 100.0), (
        "warm is light"
    )
    assert np.isnan(sea_level_pressure(840.0, 5.0, 50.0, 1609.0)), "beyond the recommended elevations"


def test_apparent_temperature_falls_with_wind_and_rises_with_moisture() -> None:
    """The first value: 0.33 x 11.67 hPa - 0.70 x 5 m/s - 4 below 20 °C and 50 %."""
    assert apparent_temperature(20, 50, 5) == pytest.approx(16.3, abs=0.1)
    assert apparent_temperature(30, 80, 1) > apparent_temperature(30, 30, 1) > apparent_temperature(30, 30, 10)
