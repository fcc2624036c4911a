"""The forecasts of the last weeks, from whose errors a recalibration is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.records import LEADS

WINDOW_DAYS = 60
"""Days of valid times that are used."""
MIN_DAYS = 3
"""Days that the errors must cover before anything is changed."""


@dataclass(frozen=True)
class ErrorWindow:
    """The forecasts with a valid time in the window.

    Attributes:
        names: stations with such a forecast, sorted.
        used: (m,) positions of these forecasts among all.
        rows: (m,) station of each as an index of `names`.
        age: (m, leads) hours since the valid time.
        due: (m, leads) whether the valid time is in the window.
    """

    names: list[str]
    used: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    age: npt.NDArray[np.int64]
    due: npt.NDArray[np.bool_]

    @property
    def is_long_enough(self) -> bool:
        return len(self.used) > 0 and int(self.age[self.due].max()) >= 24 * MIN_DAYS

    def select(self, errors: npt.NDArray) -> npt.NDArray:
        """Return the errors (m, leads, ...) of these forecasts, NaN outside the window, from those of all."""
        due = self.due.reshape(*self.due.shape, *[1] * (errors.ndim - 2))
        return np.where(due, errors[self.used], np.nan)


def error_window(station_ids: Sequence[str], base: npt.NDArray[np.datetime64], now: np.datetime64) -> ErrorWindow:
    """Select from n forecasts those with a valid time in the `WINDOW_DAYS` up to `now`.

    Args:
        station_ids: n.
        base: (n,) base hours, UTC.
    """
    age = (now - (base[:, None] + np.array(LEADS))).astype(np.int64)
    due = (age >= 0) & (age < 24 * WINDOW_DAYS)
    used = np.flatnonzero(due.any(axis=1))
    names, rows = np.unique(np.array(station_ids, dtype=str)[used], return_inverse=True)
    return ErrorWindow(names.tolist(), used, rows, age[used], due[used])
