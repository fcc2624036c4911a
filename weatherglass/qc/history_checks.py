"""What is doubtful in hourly history, value by value.

A flag says what looks wrong; the value stays as it is (but one outside its physical range, which is made missing), so
that whoever uses the history decides. Every test looks at one station's hours in a row.

Sources of the tests: WMO-No. 488, appendix VI.2 (range); Durre et al. (2010), Comprehensive Automated Quality Assurance
of Daily Surface Observations, J. Applied Meteorology and Climatology 49, and Dunn et al. (2012), HadISD, Climate of
the Past 8 (streaks, jumps between hours). The limits are for hourly values as public archives give them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from weatherglass.qc.observation_checks import LIMITS
from weatherglass.records import VARIABLES


class HistoryFlag(StrEnum):
    """Of several that fit, the first here."""

    RANGE = "range"
    """Outside what an instrument can honestly give; the value was made missing."""
    MISSING = "missing"
    """There was no value."""
    JUMP = "jump"
    """Away from both the hour before and the hour after, or the first of a lasting step."""
    FLAT = "flat"
    """One of many equal values in a row."""
    LINE = "line"
    """On a straight line through many hours: somebody filled a gap."""
    INTERPOLATED = "interpolated"
    """Finer than the record's own resolution: computed from other stations, not measured."""
    OTHER_LEVEL = "other_level"
    """A pressure that is not the station's: reduced to the sea, at a station high enough to tell."""
    OK = "ok"


FLAT_HOURS = {"temperature": 12, "humidity": 24, "pressure": 12, "wind_speed": 24}
"""Equal values in a row from which on they are doubted."""
SATURATED = 100.0
"""%. Fog can keep a humidity there for days."""
LINE_HOURS = 6
JUMP = {"temperature": 15.0, "humidity": 60.0, "pressure": 15.0, "wind_speed": 20.0}
"""Change in an hour, in the variable's unit."""
TELLING_ELEVATION = 120.0
"""m; below it a pressure reduced to the sea differs by less than the weather does."""
TOLERANCE = 1e-6


def flagged(
    values: Mapping[str, npt.NDArray[np.float64]], elevation: float | None, resolution: Mapping[str, float]
) -> dict[str, npt.NDArray[np.object_]]:
    """Flags (n,) of each of the four variables.

    Args:
        values: variable -> (n,) hourly values of one station in a row, every hour there, NaN where missing.
        elevation: of the station, m; None if it is not known.
        resolution: variable -> the finest step of a measured value in this record, where it is known.
    """
    return {
        name: _flags(name, values[name], elevation if name == "pressure" else None, resolution.get(name))
        for name in VARIABLES
    }


def _flags(
    name: str, raw: npt.NDArray[np.float64], elevation: float | None, resolution: float | None
) -> npt.NDArray[np.object_]:
    limits = LIMITS[name]
    beyond = (raw < limits.low) | (raw > limits.high)
    values = np.where(beyond, np.nan, raw)
    found = {
        HistoryFlag.RANGE: beyond,
        HistoryFlag.MISSING: np.isnan(raw),
        HistoryFlag.JUMP: jumps(values, JUMP[name]),
        HistoryFlag.FLAT: flat(values, FLAT_HOURS[name]) & ~((name == "humidity") & (values >= SATURATED)),
        HistoryFlag.LINE: straight(values, LINE_HOURS),
    }
    if resolution is not None:
        found[HistoryFlag.INTERPOLATED] = finer(values, resolution)
    if elevation is not None and elevation >= TELLING_ELEVATION:
        found[HistoryFlag.OTHER_LEVEL] = values > (standard_pressure(elevation) + standard_pressure(0.0)) / 2
    flags = np.full(len(raw), HistoryFlag.OK.value, dtype=object)
    for flag, where in reversed(found.items()):
        flags[where] = flag.value
    return flags


def jumps(values: npt.NDArray[np.float64], limit: float) -> npt.NDArray[np.bool_]:
    """Values that lie further than `limit` from the hour before, but for the way back from a spike."""
    change = np.diff(values, prepend=np.nan)
    jumped = np.abs(change) > limit
    back = jumped & np.roll(jumped, 1) & (np.sign(change) != np.sign(np.roll(change, 1)))
    back[:1] = False
    return jumped & ~back


def flat(values: npt.NDArray[np.float64], hours: int) -> npt.NDArray[np.bool_]:
    """Values in runs of at least `hours` equal ones."""
    return _in_runs(np.abs(np.diff(values)) <= TOLERANCE, hours - 1)


def straight(values: npt.NDArray[np.float64], hours: int) -> npt.NDArray[np.bool_]:
    """Values on a slanting straight line through at least `hours` of them."""
    slope = np.diff(values)
    on_line = (np.abs(np.diff(slope)) <= TOLERANCE) & (np.abs(slope[1:]) > TOLERANCE)
    middle = np.zeros(max(len(values) - 1, 0), dtype=bool)
    middle[1:] = on_line
    bends = np.zeros(len(values), dtype=bool)
    for first, last in runs(middle):
        if last - first + 3 >= hours:
            bends[first - 1 : last + 2] = True
    return bends


def finer(values: npt.NDArray[np.float64], resolution: float) -> npt.NDArray[np.bool_]:
    """Values that are no multiple of the resolution."""
    steps = values / resolution
    return np.abs(steps - np.round(steps)) > 1e-3


def standard_pressure(elevation: float) -> float:
    """hPa of the standard atmosphere at an elevation in m. Source: ISO 2533:1975."""
    return float(1013.25 * (1 - 2.25577e-5 * elevation) ** 5.25588)


def runs(true: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last position of every unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _in_runs(equal: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.bool_]:
    """Marks (n + 1,) of the values between which `equal` (n,) holds at least `steps` times in a row."""
    marks = np.zeros(len(equal) + 1, dtype=bool)
    for first, last in runs(equal):
        if last - first + 1 >= steps:
            marks[first : last + 2] = True
    return marks
