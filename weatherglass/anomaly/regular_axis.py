"""The regular time axis on which a single series is checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.self_prediction import LONG_GAP_HOURS

MONDAY = np.datetime64("2024-01-01T00:00:00", "s")


@dataclass(frozen=True)
class RegularAxis:
    """A regular time axis of the usual step, without long gaps.

    Attributes:
        at: (n,) moment of each reading.
        first: (n,) the reading is the first of its moment.
        start_hour: hours since a Monday, 0:00, of the first moment.
        step: hours between two moments.
    """

    at: npt.NDArray[np.int64]
    first: npt.NDArray[np.bool_]
    start_hour: float
    step: float

    @classmethod
    def of(cls, times: npt.NDArray[np.datetime64], hours: npt.NDArray[np.float64], step: float) -> RegularAxis:
        """Shorten long gaps by whole weeks: a clock that once showed 1970 must not make the axis too long."""
        gaps = np.diff(hours, prepend=hours[0])
        longest = max(LONG_GAP_HOURS, step)
        shortened = np.cumsum(np.where(gaps > longest, longest + gaps % 168, gaps))
        at = np.round(shortened / step).astype(np.int64)
        start = float((times[0] - MONDAY).astype(np.float64) / 3600) % 168
        return cls(at, np.concatenate([[True], np.diff(at) > 0]), start, step)

    @property
    def count(self) -> int:
        return int(self.at[-1]) + 1

    def regular(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the values (moments, ...) of the readings (n, ...); NaN where there is none."""
        placed = np.full((self.count, *values.shape[1:]), np.nan)
        placed[self.at[self.first]] = values[self.first]
        return placed

    def of_readings(self, moments: npt.NDArray) -> npt.NDArray:
        """Return the results of the readings (n,) from those of the moments; NaN for all but the first of a moment."""
        return np.where(self.first, moments[self.at], np.nan)
