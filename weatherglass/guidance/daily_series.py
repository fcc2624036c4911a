"""Guidance and observations of a network at one hour of the day and one lead: the unit in which errors are learned.

The error of guidance depends on the hour of the day, so the days of one hour are compared with each other only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from weatherglass.forecast.neighbours import distances
from weatherglass.stations import Station

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DailySeries:
    """d days without gaps, s stations, m models; in any unit, NaN where missing.

    Attributes:
        first_day: date of the first valid time.
        stations: elevation None and coordinates NaN if unknown.
        guidance: (d, s, m).
        observed: (d, s).
        delay: days after which an observation is known: when the forecast for a day is made, the newest known one is
            that of so many days before; 1 for leads up to 24 h, 2 up to 48 h.
        spread: (d, s) standard deviation of an ensemble; None: that of the models.
    """

    first_day: np.datetime64
    stations: tuple[Station, ...]
    guidance: Array
    observed: Array
    delay: int
    spread: Array | None = None

    @cached_property
    def mean(self) -> Array:
        """Mean of the models (d, s) that are present: the centre whose error is learned."""
        present = np.isfinite(self.guidance)
        total = np.where(present, self.guidance, 0.0).sum(axis=2)
        count = present.sum(axis=2)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    @cached_property
    def error(self) -> Array:
        """Observation minus `mean` (d, s)."""
        return self.observed - self.mean

    @cached_property
    def model_spread(self) -> Array:
        """Spread of the ensemble, or standard deviation of the models (d, s); 0 where there is only one."""
        if self.spread is not None:
            return self.spread
        deviation = np.nan_to_num(self.guidance - self.mean[:, :, None])
        count = np.maximum(np.isfinite(self.guidance).sum(axis=2), 1)
        return np.asarray(np.sqrt((deviation**2).sum(axis=2) / count))

    @cached_property
    def day_of_year(self) -> Array:
        """Days since 1 January (d,)."""
        dates = self.first_day.astype("datetime64[D]") + np.arange(len(self.observed))
        return np.asarray((dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(float))

    @cached_property
    def elevations(self) -> Array:
        """Elevations (s,) in m; the median of the others where unknown, 0 if none is known."""
        values = np.array([np.nan if at.elevation is None else at.elevation for at in self.stations], dtype=float)
        known = values[np.isfinite(values)]
        return np.where(np.isfinite(values), values, np.median(known) if len(known) else 0.0)

    @cached_property
    def kilometres(self) -> Array:
        """Distances (s, s); infinite where coordinates are unknown."""
        return np.nan_to_num(distances(self.stations), nan=np.inf)
