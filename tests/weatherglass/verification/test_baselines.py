"""The baselines against a calculation by loops, at the edges of the grid, with gaps and unknown stations."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.forecast import climatology
from weatherglass.forecast.damped_anomaly import MAX_AGE, DampedAnomaly
from weatherglass.history.grid import HourGrid
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification import baselines
from weatherglass.verification.baselines import ReferenceModel

HOURS = 60 * 24
TEMPERATURE = VARIABLES.index("temperature")


@pytest.fixture(scope="module")
def grid() -> HourGrid:
    """Three stations; station 1 has no temperature in the last five hours, and none in hours 1 to 20."""
    grid = history(days=HOURS // 24)
    grid.values[1, -5:, TEMPERATURE] = np.nan
    grid.values[1, 1:21, TEMPERATURE] = np.nan
    return grid


@pytest.fixture(scope="module")
def reference(grid: HourGrid) -> ReferenceModel:
    """A climatology of stations 2 and 1, in this order, and different damping of every station, lag and variable."""
    known = climatology.fit(HourGrid(grid.stations[2:0:-1], grid.start, grid.values[2:0:-1]))
    lags = LEADS[-1] + MAX_AGE + 1
    rho = np.random.default_rng(2).uniform(0.2, 0.9, (2, lags, len(VARIABLES)))
    return ReferenceModel(known, DampedAnomaly(rho))


def observed(grid: HourGrid, station: int, hour: int, variable: int) -> float:
    """The value of a variable; the wind speed has the last column of the grid."""
    if not 0 <= hour < HOURS:
        return np.nan
    return float(grid.values[station, hour, -1 if VARIABLES[variable] == "wind_speed" else variable])


def damped_anomaly(
    grid: HourGrid, reference: ReferenceModel, station: int, base: int, lead: int, variable: int
) -> float:
    row = {1: 1, 2: 0}[station]

    def normal(hour: int) -> float:
        at = np.array([grid.start + hour])
        return float(climatology.harmonics(at)[0] @ reference.climatology.coefficients[row, :, variable])

    value = normal(base + lead)
    for age in range(MAX_AGE + 1):
        newest = observed(grid, station, base - age, variable)
        if np.isfinite(newest):
            value += reference.damping.rho[row, age + lead, variable] * (newest - normal(base - age))
            break
    limits = RANGE_LIMITS[VARIABLES[variable]]
    return min(max(value, limits.low), limits.high)


@pytest.mark.parametrize(
    "base", [-1, 0, 1, 5, MAX_AGE, MAX_AGE + 1, 700, HOURS - 1, HOURS, HOURS + MAX_AGE - 1, HOURS + MAX_AGE, HOURS + 30]
)
def test_the_damped_anomaly_uses_the_newest_value_of_the_last_twelve_hours(
    grid: HourGrid, reference: ReferenceModel, base: int
) -> None:
    rows = np.array([1, 2, 0])
    result = baselines.damped_anomaly(grid, rows, np.full(3, base), reference)
    expected = [
        [[damped_anomaly(grid, reference, station, base, lead, v) for v in range(len(VARIABLES))] for lead in LEADS]
        for station in (1, 2)
    ]
    np.testing.assert_allclose(result[:2], expected, rtol=1e-4, atol=1e-3)
    assert np.isnan(result[2]).all(), "station 0 has no climatology"


@pytest.mark.parametrize("base", [-1, 0, 3, 700, HOURS - 1, HOURS])
def test_persistence_is_the_value_of_the_base_hour_at_all_leads(grid: HourGrid, base: int) -> None:
    result = baselines.persistence(grid, np.array([1, 2]), np.array([base, base]))
    for case, station in enumerate((1, 2)):
        expected = [observed(grid, station, base, v) for v in range(len(VARIABLES))]
        np.testing.assert_allclose(result[case], np.tile(expected, (len(LEADS), 1)))
