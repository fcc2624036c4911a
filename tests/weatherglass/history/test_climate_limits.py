"""Climate limits: wide enough for a new record, narrow enough for a fault."""

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.history.climate_limits import climate_limits
from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.records import VARIABLES
from weatherglass.stations import bundled_stations


@pytest.fixture
def grid() -> HourGrid:
    """A year of a station whose temperature follows the seasons from -5 to 25 °C, and whose pressure is missing."""
    hours = 24 * 365
    values = np.full((1, hours, len(GRID_VARIABLES)), np.nan, np.float32)
    noise = np.random.default_rng(1).normal(0, 2, hours)
    values[0, :, GRID_VARIABLES.index("temperature")] = 10 - 15 * np.cos(2 * np.pi * np.arange(hours) / hours) + noise
    return HourGrid((bundled_stations()["new-york"],), np.datetime64("2025-01-01T00", "h"), values)


def test_limits_follow_the_month_with_a_margin(grid: HourGrid) -> None:
    months = climate_limits(grid)["new-york"]
    temperature = VARIABLES.index("temperature")
    january, july = months[0][temperature], months[6][temperature]
    assert january is not None
    assert july is not None
    seen = grid.values[0, : 24 * 31, 0]
    assert january[0] < seen.min() < seen.max() < january[1]
    assert january[1] < 15 < july[0] + 15 < 30


def test_variables_without_values_and_humidity_have_no_limits(grid: HourGrid) -> None:
    months = climate_limits(grid)["new-york"]
    assert {month[VARIABLES.index(name)] for month in months for name in ("pressure", "humidity")} == {None}


@pytest.mark.parametrize(("hours", "known"), [(479, False), (480, True)])
def test_limits_are_the_quantiles_of_the_month_widened_by_half_their_span(hours: int, known: bool) -> None:
    values = np.full((1, 31 * 24, len(GRID_VARIABLES)), np.nan, np.float32)
    values[0, :hours, GRID_VARIABLES.index("pressure")] = np.arange(hours) + 900
    grid = HourGrid((bundled_stations()["new-york"],), np.datetime64("2025-05-01T00", "h"), values)
    months = climate_limits(grid)["new-york"]
    found = months[4][VARIABLES.index("pressure")]
    if not known:
        assert found is None
        return
    low, high = 900 + 0.001 * 479, 900 + 0.999 * 479
    assert found == pytest.approx((low - (high - low) / 2, high + (high - low) / 2))
    assert months[3][VARIABLES.index("pressure")] is None
