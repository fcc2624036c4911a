"""What a station's history says is usual there, month by month: the climate check of quality control."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.qc.observation_checks import Bounds
from weatherglass.records import VARIABLES

CHECKED = ("temperature", "pressure", "wind_speed")
"""Humidity reaches both ends of its physical range everywhere."""

MARGIN = 0.5
"""How far beyond the seen extremes a value may lie, as a share of their span: a record is no fault."""

ENOUGH = 24 * 20
"""Hours of a month that must be there to know its climate: three weeks, of one year or several."""


def climate_of(grid: HourGrid) -> dict[str, list[list[Bounds]]]:
    """Lowest and highest usual value by station, calendar month (UTC) and variable; see `quality.Climate`."""
    months = grid.hours.astype("datetime64[M]").astype(int) % 12
    columns = {name: grid.values[..., GRID_VARIABLES.index(name)] for name in CHECKED}
    return {
        station.station_id: [
            [_bounds(columns[name][i, months == month]) if name in columns else None for name in VARIABLES]
            for month in range(12)
        ]
        for i, station in enumerate(grid.stations)
    }


def _bounds(values: npt.NDArray[np.float32]) -> Bounds:
    """From all but the one in a thousand values at each end, which may be faults themselves."""
    there = values[np.isfinite(values)]
    if len(there) < ENOUGH:
        return None
    low, high = np.quantile(there, [0.001, 0.999])
    margin = MARGIN * (high - low)
    return float(low - margin), float(high + margin)
