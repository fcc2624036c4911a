"""Checks of hourly history.

A flag says what is suspicious about a value. The value itself is kept, unless it is outside its range, so that users of
the history can decide. Every check works on the consecutive hours of one station.

Sources of the checks: WMO-No. 488, appendix VI.2 (range); Durre et al. (2010), Comprehensive Automated Quality
Assurance of Daily Surface Observations, J. Applied Meteorology and Climatology 49, and Dunn et al. (2012), HadISD,
Climate of the Past 8 (streaks, jumps between hours).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from weatherglass.meteorology import standard_pressure
from weatherglass.qc import limits
from weatherglass.records import VARIABLES


class HistoryFlag(StrEnum):
    """The flag of a value; if several apply, the first in this order."""

    RANGE = "range"
    """Outside the range limits of the station; the value was made missing."""
    MISSING = "missing"
    """No value."""
    JUMP = "jump"
    """Far from both the hour before and the hour after, or the first value after a lasting step."""
    FLAT = "flat"
    """One of many equal values in a row."""
    LINE = "line"
    """On a straight line through many hours: filled in by interpolation."""
    INTERPOLATED = "interpolated"
    """Finer than the record's own resolution: computed from other stations, not measured."""
    OTHER_LEVEL = "other_level"
    """A pressure that was reduced to sea level, at a station high enough to see the difference."""
    OK = "ok"


def check_history(
    values: Mapping[str, npt.NDArray[np.float64]],
    range_limits: Mapping[str, limits.RangeLimit],
    elevation: float | None,
    resolution: Mapping[str, float],
) -> dict[str, npt.NDArray[np.object_]]:
    """Return the flags (n,) of each of the four variables.

    Args:
        values: variable -> (n,) values of one station at consecutive hours, NaN where missing.
        range_limits: of the variables at the station.
        elevation: of the station, m; None if unknown.
        resolution: variable -> the finest step of a measured value in this record, where known.
    """
    return {
        name: _flags(
            name, values[name], range_limits[name], elevation if name == "pressure" else None, resolution.get(name)
        )
        for name in VARIABLES
    }


def _flags(
    name: str,
    raw: npt.NDArray[np.float64],
    range_limit: limits.RangeLimit,
    elevation: float | None,
    resolution: float | None,
) -> npt.NDArray[np.object_]:
    values = range_limit.usable(raw)
    outside = np.isnan(values) & ~np.isnan(raw)
    saturated = (name == "humidity") & (values >= limits.SATURATION.history)
    masks = {
        HistoryFlag.RANGE: outside,
        HistoryFlag.MISSING: np.isnan(raw),
        HistoryFlag.JUMP: jumps(values, limits.STEP.history[name]),
        HistoryFlag.FLAT: flat_lines(values, int(limits.FLAT_HOURS.history[name])) & ~saturated,
        HistoryFlag.LINE: straight_lines(values, limits.LINE_HOURS.value),
    }
    if resolution is not None:
        masks[HistoryFlag.INTERPOLATED] = finer_than(values, resolution)
    if elevation is not None and elevation >= limits.SEA_LEVEL_MIN_ELEVATION.value:
        masks[HistoryFlag.OTHER_LEVEL] = values > (standard_pressure(elevation) + standard_pressure(0.0)) / 2
    flags = np.full(len(raw), HistoryFlag.OK.value, dtype=object)
    for flag, mask in reversed(masks.items()):
        flags[mask] = flag.value
    return flags


def jumps(values: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.bool_]:
    """Mark values that differ from the hour before by more than `limit`, except the return from a spike."""
    change = np.diff(values, prepend=np.nan)
    jumped = np.abs(change) > limit
    returned = jumped & np.roll(jumped, 1) & (np.sign(change) != np.sign(np.roll(change, 1)))
    returned[:1] = False
    return jumped & ~returned


def flat_lines(values: npt.NDArray[np.float64], hours: int) -> npt.NDArray[np.bool_]:
    """Mark the values in runs of at least `hours` equal values."""
    return _in_runs(np.abs(np.diff(values)) <= limits.UNCHANGED.history, hours - 1)


def straight_lines(values: npt.NDArray[np.float64], hours: int) -> npt.NDArray[np.bool_]:
    """Mark the values on a slanting straight line through at least `hours` values."""
    slope = np.diff(values)
    unchanged = limits.UNCHANGED.history
    on_line = (np.abs(np.diff(slope)) <= unchanged) & (np.abs(slope[1:]) > unchanged)
    middle = np.zeros(max(len(values) - 1, 0), dtype=bool)
    middle[1:] = on_line
    marks = np.zeros(len(values), dtype=bool)
    for first, last in runs(middle):
        if last - first + 3 >= hours:  # the run has the inner points, without both ends of the line
            marks[first - 1 : last + 2] = True
    return marks


def finer_than(values: npt.NDArray[np.float64], resolution: float) -> npt.NDArray[np.bool_]:
    """Mark the values that are not a multiple of the resolution."""
    steps = values / resolution
    return np.abs(steps - np.round(steps)) > limits.RESOLUTION_TOLERANCE.value


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and the last position of every unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _in_runs(equal: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.bool_]:
    """Mark (n + 1,) the values between which `equal` (n,) holds at least `steps` times in a row."""
    marks = np.zeros(len(equal) + 1, dtype=bool)
    for first, last in runs(equal):
        if last - first + 1 >= steps:
            marks[first : last + 2] = True
    return marks
