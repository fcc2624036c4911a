"""The hour grid: hourly values of several stations on one regular time axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.stations import Station

GRID_VARIABLES = ("temperature", "humidity", "pressure", "wind_u", "wind_v", "wind_speed")
"""The last axis of `HourGrid.values`. The wind is stored as components, which can be averaged and give the direction,
and also as speed, because many stations report only the speed."""


@dataclass(frozen=True)
class HourGrid:
    """Hourly values of several stations on one regular time axis; the only input of the models.

    Attributes:
        stations: the first axis of `values`.
        start: the first hour, `datetime64[h]`, UTC.
        values: float32 (stations, hours, 6), last axis as `GRID_VARIABLES`, in the units of the records; NaN is
            missing.
    """

    stations: tuple[Station, ...]
    start: np.datetime64
    values: npt.NDArray[np.float32]

    @property
    def hours(self) -> npt.NDArray[np.datetime64]:
        """The time axis, `datetime64[h]`, UTC."""
        return self.start + np.arange(self.values.shape[1])

    def index(self, hour: np.datetime64) -> int:
        """Return the position of an hour on the time axis; it may lie outside the axis."""
        return int((hour.astype("datetime64[h]") - self.start).astype(int))
