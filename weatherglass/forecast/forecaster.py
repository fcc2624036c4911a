"""The interface of a forecaster and its result, shared by training, serving and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from weatherglass.history.grid import HourGrid
from weatherglass.records import Method

LEVELS = (0.8, 0.9)
"""Levels of the intervals: the share of the truth that each interval should contain."""


@dataclass(frozen=True)
class Forecast:
    """Forecasts of n (station, base hour) pairs. Lead axis as `records.LEADS`, variable axis as `records.VARIABLES`.

    Attributes:
        station_ids: n.
        base_hours: (n,) `datetime64[h]`, UTC: the newest hour that each forecast uses; valid time = base + lead.
        values: (n, 24, 4) °C, %, hPa, m/s; finite everywhere.
        lower, upper: level of `LEVELS` -> (n, 24, 4), lower <= values <= upper.
        methods: n.
        history_hours: (n,) hours of own past with a temperature among the last 72.
    """

    station_ids: tuple[str, ...]
    base_hours: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    lower: dict[float, npt.NDArray[np.float64]]
    upper: dict[float, npt.NDArray[np.float64]]
    methods: tuple[Method, ...]
    history_hours: npt.NDArray[np.int64]


class Forecaster(Protocol):
    """A model that forecasts from hourly values alone."""

    def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
        """Forecast station `rows[i]` of the grid from its hour index `base[i]`, without any value after that hour.

        If a row lacks the past that the model needs, the forecast comes from a fallback method, is marked with it, and
        has wider intervals. A row needs at least one value of every variable at or before its base hour, unless the
        model has a climatology for the station.
        """
        ...
