"""Input variables of the models: the four observed variables, the wind components and the dew point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import HourGrid
from weatherglass.meteorology import dew_point
from weatherglass.qc.limits import RANGE_LIMITS, range_limits
from weatherglass.qc.series_checks import HIGH, LOW
from weatherglass.records import VARIABLES

MODEL_VARIABLES = (*VARIABLES, "wind_u", "wind_v", "dew_point")
"""The first four are `records.VARIABLES`, so that a variable has the same index on both axes."""


def model_variables(values: npt.NDArray) -> npt.NDArray[np.float32]:
    """Return model variables (..., 7) in the order of `MODEL_VARIABLES` from grid values (..., 6); NaN stays NaN.

    A missing wind speed is computed from the components.
    """
    temperature, humidity, pressure, u, v, reported_speed = (values[..., i] for i in range(6))
    speed = np.where(np.isnan(reported_speed), np.hypot(u, v), reported_speed)
    variables = np.empty((*values.shape[:-1], len(MODEL_VARIABLES)), dtype=np.float32)
    for i, variable in enumerate((temperature, humidity, pressure, speed, u, v, dew_point(temperature, humidity))):
        variables[..., i] = variable
    return variables


def drop_implausible(grid: HourGrid) -> HourGrid:
    """Return the grid with the values that the stream's range check allows, NaN for the others."""
    values = grid.values.copy()
    for station, of_station in zip(grid.stations, values, strict=True):
        limits = range_limits(station.latitude, station.elevation)
        for axis, variable in enumerate(("temperature", "humidity", "pressure")):
            of_station[:, axis] = limits[variable].usable(of_station[:, axis])
    speed = np.fmax(np.hypot(values[..., 3], values[..., 4]), values[..., 5])
    values[speed > RANGE_LIMITS["wind_speed"].high, 3:] = np.nan
    return grid.with_values(values)


def clip_to_limits(values: npt.NDArray) -> npt.NDArray:
    """Clip variables (..., 4) to the physical limits, for example the forecast of a sensor stuck at its range limit."""
    return np.clip(values, LOW, HIGH)
