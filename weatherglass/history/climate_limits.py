"""The climate limits of each station by calendar month, computed from its history for the climate check."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.qc import limits
from weatherglass.qc.observation_checks import ClimateRange
from weatherglass.records import VARIABLES

CHECKED = ("temperature", "pressure", "wind_speed")
"""The humidity reaches both ends of its range everywhere."""


def climate_limits(grid: HourGrid) -> dict[str, list[list[ClimateRange]]]:
    """Return the lowest and highest usual value by station, calendar month (UTC) and variable, as a `ClimateTable`."""
    months = grid.hours.astype("datetime64[M]").astype(int) % 12
    columns = {name: grid.values[..., GRID_VARIABLES.index(name)] for name in CHECKED}
    return {
        station.station_id: [
            [_range(columns[name][i, months == month]) if name in columns else None for name in VARIABLES]
            for month in range(12)
        ]
        for i, station in enumerate(grid.stations)
    }


def _range(values: npt.NDArray[np.float32]) -> ClimateRange:
    known = values[np.isfinite(values)]
    if len(known) < limits.CLIMATE_MIN_HOURS.value:
        return None
    low, high = np.quantile(known, [limits.CLIMATE_QUANTILE.value, 1 - limits.CLIMATE_QUANTILE.value])
    margin = limits.CLIMATE_MARGIN.value * (high - low)
    return float(low - margin), float(high + margin)
