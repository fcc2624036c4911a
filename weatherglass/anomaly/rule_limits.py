"""Limits of the rules for each station: those of `qc.limits`, raised if the station's own history often exceeds them.

Some sources round to whole degrees, mix sea-level pressure with station pressure, or repeat a value until the next
report. With the published limits, such a station would raise false alarms every day. A step or flat line that is not
possible (`limits.LARGEST_STEP`, `limits.LONGEST_FLAT_HOURS`) is a fault of the history and does not raise a limit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.episodes import WEEK
from weatherglass.anomaly.resolution import resolutions
from weatherglass.qc import series_checks
from weatherglass.records import VARIABLES


def fit(values: npt.NDArray[np.float32], budget: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Fit limits of steps (unit per hour) and of flat lines (hours), each (stations, 4).

    Args:
        values: (stations, hours, 4).
        budget: flags that each rule may raise per station, variable and week of this history.
    """
    shape = (len(values), len(VARIABLES))
    times = np.arange(values.shape[1], dtype=np.float64)[None]
    step = series_checks.check_steps(times, values)
    jumps = np.where(step.checked, np.abs(step.change) / (step.allowed / series_checks.STEP_PER_HOUR), 0)
    flat_lines = series_checks.check_flat_lines(times, values)
    ends = np.ones(values.shape, bool)
    ends[:, :-1] = flat_lines.hours[:, 1:] < flat_lines.hours[:, :-1]
    lengths = np.where(
        ends & series_checks.check_flat_lines(times, values, np.zeros(shape)).failed, flat_lines.hours, 0
    )
    allowed = (budget * np.isfinite(values).sum(axis=1) / WEEK).astype(int)
    step_limit = np.broadcast_to(series_checks.STEP_PER_HOUR, shape).copy()
    flat_limit = series_checks.flat_line_limit(resolutions(values))
    for measured, limit, possible in (
        (jumps, step_limit, series_checks.LARGEST_STEP),
        (lengths, flat_limit, series_checks.LONGEST_FLAT_HOURS),
    ):
        ordered = -np.sort(-np.where(measured <= possible, measured, 0), axis=1)
        largest = np.take_along_axis(ordered, np.minimum(allowed, ordered.shape[1] - 1)[:, None], axis=1)[:, 0]
        np.maximum(limit, largest * 1.001, out=limit)
    return possible_steps(step_limit), flat_limit


def possible_steps(limit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return limits of steps (..., 4), per hour, reduced to `LARGEST_STEP`; earlier trainings learned higher ones."""
    return np.minimum(limit, series_checks.LARGEST_STEP)
