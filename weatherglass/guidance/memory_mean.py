"""Exponentially weighted means of the rows of a network, which may have gaps."""

from __future__ import annotations

import numpy as np

from weatherglass.guidance.daily_series import Array

MIN_WEIGHT = 0.1
"""Weight of the known rows below which there is no mean."""


class MemoryMean:
    """A mean for each of s stations, in which a row of n days ago has the weight exp(-n / memory)."""

    def __init__(self, stations: int, memory: float):
        self._decay = np.exp(-1.0 / memory)
        self.total, self.weight = np.zeros(stations), np.zeros(stations)

    def add(self, row: Array) -> None:
        """Add the row (s,) of the next day; NaN where unknown."""
        known = np.isfinite(row)
        self.total = self.total * self._decay + np.where(known, row, 0.0)
        self.weight = self.weight * self._decay + known

    def shrunk(self, days: float) -> Array:
        """The means (s,), shrunk towards 0 by so many days."""
        return np.asarray(self.total / (self.weight + days))

    def mean(self) -> Array:
        """The means (s,); NaN without a recent value."""
        return np.divide(self.total, self.weight, out=np.full(self.total.shape, np.nan), where=self.weight > MIN_WEIGHT)

    def network_mean(self) -> float:
        """The mean of all values of the network, however old they are; 0 without any."""
        weight = float(self.weight.sum())
        return float(self.total.sum()) / weight if weight > 0 else 0.0
