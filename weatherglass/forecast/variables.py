"""The channels that models look at: the four variables, wind components and the dew point, made from grid values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import HourGrid
from weatherglass.meteorology import dew_point
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.qc.series_checks import HIGH, LOW
from weatherglass.records import VARIABLES

MODEL_VARIABLES = (*VARIABLES, "wind_u", "wind_v", "dew_point")
"""The first four are `records.VARIABLES`, so a variable has the same index on both axes."""


def model_variables(values: npt.NDArray) -> npt.NDArray[np.float32]:
    """Model variables (..., 7) from grid values (..., 6), axes `MODEL_VARIABLES` and `GRID_VARIABLES`; NaN stays NaN.

    Where the speed is missing but the components are known, it is theirs.
    """
    temperature, humidity, pressure, u, v, told = (values[..., i] for i in range(6))
    speed = np.where(np.isnan(told), np.hypot(u, v), told)
    made = np.empty((*values.shape[:-1], len(MODEL_VARIABLES)), dtype=np.float32)
    for i, channel in enumerate((temperature, humidity, pressure, speed, u, v, dew_point(temperature, humidity))):
        made[..., i] = channel
    return made


def drop_implausible(grid: HourGrid) -> HourGrid:
    """The grid without values that no instrument can honestly give (`quality.LIMITS`), as the stream has it."""
    values = grid.values.copy()
    for axis, variable in enumerate(("temperature", "humidity", "pressure")):
        limits, column = LIMITS[variable], values[..., axis]
        column[(column < limits.low) | (column > limits.high)] = np.nan
    speed = np.fmax(np.hypot(values[..., 3], values[..., 4]), values[..., 5])
    values[speed > LIMITS["wind_speed"].high, 3:] = np.nan
    return HourGrid(grid.stations, grid.start, values)


def clip_to_limits(values: npt.NDArray) -> npt.NDArray:
    """Variables (..., 4) kept within `quality.LIMITS`: what no instrument can honestly give is no forecast either.

    A sensor stuck at the end of its range would else be forecast beyond it.
    """
    return np.clip(values, LOW, HIGH)
