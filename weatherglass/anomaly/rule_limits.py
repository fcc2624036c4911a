"""Limits of rules for each station: the published ones, raised where a station's own history keeps breaking them.

Some sources mix the pressure of the sea with that of the station, or repeat a value until the next report. There a rule
that is right elsewhere would cry every day, and nobody would listen any more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.episodes import WEEK
from weatherglass.qc import series_checks
from weatherglass.records import VARIABLES


def fit(values: npt.NDArray[np.float32], budget: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Limits of steps and of flat hours, each (stations, 4), from hourly values (stations, hours, 4).

    Each rule alone may then flag a value of a station `budget` times a week.
    """
    shape = (len(values), len(VARIABLES))
    times = np.arange(values.shape[1], dtype=np.float64)[None]
    step = series_checks.steps(times, values)
    jumps = np.where(step.checked, np.abs(step.change) / (step.allowed / series_checks.STEP_PER_HOUR), 0)
    flat = series_checks.flats(times, values)
    ends = np.ones(values.shape, bool)
    ends[:, :-1] = flat.hours[:, 1:] < flat.hours[:, :-1]
    lengths = np.where(ends & series_checks.flats(times, values, np.zeros(shape)).failed, flat.hours, 0)
    allowed = (budget * np.isfinite(values).sum(axis=1) / WEEK).astype(int)
    step_limit = np.broadcast_to(series_checks.STEP_PER_HOUR, shape).copy()
    flat_limit = np.broadcast_to(series_checks.FLAT_HOURS, shape).copy()
    for measured, limit in ((jumps, step_limit), (lengths, flat_limit)):
        ordered = -np.sort(-measured, axis=1)
        largest = np.take_along_axis(ordered, np.minimum(allowed, ordered.shape[1] - 1)[:, None], axis=1)[:, 0]
        np.maximum(limit, largest * 1.001, out=limit)
    return step_limit, flat_limit
