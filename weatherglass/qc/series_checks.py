"""The rules behind hard flags: each with its source, each saying where it could not check.

All rules work on series (..., moments, variables) whose moments may be uneven, so that the same code judges the newest
reading in service, a whole history, and a file of one station.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.meteorology import dew_point
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.records import UNITS, VARIABLES

LOW = np.array([LIMITS[variable].low for variable in VARIABLES])
HIGH = np.array([LIMITS[variable].high for variable in VARIABLES])
"""Limits of `records.VARIABLES` as arrays."""

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

STEP_PER_HOUR = np.array([19.4, 50.0, 15.0, 10.3])
"""Largest honest change within an hour, as `VARIABLES`: 35 °F, 50 %, 15 hPa, 20 kt (NOAA MADIS, Meteorological Surface
Quality Control, level 2 temporal consistency check)."""
STEP_SHARE = np.array([0.5, 0.5, 0.5, 1.0])
"""Over less than a quarter of an hour a change of so much of it is allowed; between, it grows as the root of time, as
that of weather does. Wind comes in gusts: Zahumenský (2004) lets it change by 10 m/s between two minutes."""
GAP_HOURS = 3.0
"""Two readings further apart than this say nothing about a step, nor about a value that stood still."""

FLAT_HOURS = np.array([6.0, 12.0, 12.0, 24.0])
"""Hours without any change beyond which a sensor is taken to be stuck, as `VARIABLES`. After the persistence test of
Zahumenský (2004), Guidelines on Quality Control Procedures for Data from Automatic Weather Stations, WMO, but much
wider: sources round, and interpolate between hours."""
FLAT_MIN_READINGS = 5
SATURATED = 98.0
"""%: above this, fog and rain keep the humidity still for days."""
CALM = 0.5
"""m/s: below this a cup does not turn."""
UNCHANGED = 1e-3
"""Two values that differ by less are the same: single precision is as coarse at 1000 hPa, no instrument is."""

MAX_DEW_POINT = 35.0
"""°C: the highest ever measured (Dhahran, 8 July 2003). Hotter and damper together is one sensor's lie."""

RESOLUTION = np.array([LIMITS[variable].resolution for variable in VARIABLES])
HUMIDITY, WIND_SPEED = VARIABLES.index("humidity"), VARIABLES.index("wind_speed")


def name(variable: int) -> str:
    return VARIABLES[variable].replace("_", " ")


def outside(values: Array) -> Mask:
    """Values (..., 4) outside the WMO's plausible range; False where missing."""
    return np.asarray((values < LOW) | (values > HIGH))


def outside_in_words(variable: int, value: float | None) -> str:
    """`value` is None where the window left it out and its number is gone."""
    is_value = "was" if value is None else f"of {value:.1f} {UNITS[VARIABLES[variable]]} is"
    return (
        f"{name(variable)} {is_value} outside {LOW[variable]:g} to {HIGH[variable]:g} {UNITS[VARIABLES[variable]]} "
        "and left out (WMO range check)"
    )


KEPT_OUT_BY = {
    "range": VARIABLES,
    "climate": ("temperature", "pressure", "wind_speed"),
    "dew_point": ("temperature", "humidity"),
    "pressure_elevation": ("pressure",),
}
"""Which values the checks of `weatherglass.qc.observation_checks` keep out of a window."""
CONTRADICTIONS = ("dew_point", "pressure_elevation")


def kept_out_in_words(check: str, variable: int) -> str:
    """Why quality control left a value out of the window; its number is gone."""
    if check == "climate":
        return f"{name(variable)} was far outside all that this month has brought to the station, and left out"
    if check == "dew_point":
        return f"{name(variable)} was left out: temperature and humidity together give an impossible dew point"
    if check == "pressure_elevation":
        return "pressure was left out: it cannot be at the station's elevation"
    return outside_in_words(variable, None)


@dataclass(frozen=True)
class StepCheck:
    """Change of each value since the last one that is known; all arrays (..., moments, 4).

    Attributes:
        change: in the variable's unit.
        hours: time since then.
        allowed: the largest that is usual.
    """

    change: Array
    hours: Array
    allowed: Array
    checked: Mask

    @property
    def failed(self) -> Mask:
        return np.asarray(self.checked & (np.abs(self.change) > self.allowed))

    def in_words(self, at: tuple[int, ...]) -> str:
        unit = UNITS[VARIABLES[at[-1]]]
        return (
            f"{name(at[-1])} jumped by {self.change[at]:+.1f} {unit} in {self.hours[at] * 60:.0f} minutes; at most "
            f"{self.allowed[at]:.1f} {unit} is usual (step check)"
        )


def steps(times: Array, values: Array, limit: Array = STEP_PER_HOUR) -> StepCheck:
    """Steps of values (..., moments, 4) at `times` (..., moments) in hours, ascending; limit (..., 4) per hour."""
    before = _previous(values)
    known = before >= 0
    earlier = np.maximum(before, 0)
    change = values - np.take_along_axis(values, earlier, axis=-2)
    then = np.take_along_axis(np.broadcast_to(times[..., None], values.shape), earlier, axis=-2)
    hours = times[..., None] - then
    checked = known & np.isfinite(values) & (hours <= GAP_HOURS)
    allowed = limit[..., None, :] * np.maximum(STEP_SHARE, np.sqrt(np.maximum(hours, 0)))
    return StepCheck(change, hours, allowed, checked)


@dataclass(frozen=True)
class FlatLineCheck:
    """How long each value has not changed; all arrays (..., moments, 4).

    Attributes:
        hours, readings: since the first of equal values, that one included.
        allowed: hours beyond which it is stuck.
        checked: a change has been seen, or it is stuck anyway.
    """

    hours: Array
    readings: npt.NDArray[np.int64]
    allowed: Array
    checked: Mask
    failed: Mask

    def in_words(self, at: tuple[int, ...], value: float) -> str:
        return (
            f"{name(at[-1])} has been {value:.1f} {UNITS[VARIABLES[at[-1]]]} for {self.hours[at]:.0f} h without any "
            f"change; a working sensor moves within {self.allowed[at]:.0f} h (flat line check)"
        )


def flats(times: Array, values: Array, limit: Array = FLAT_HOURS) -> FlatLineCheck:
    """Flat stretches of values (..., moments, 4) at `times` (..., moments), ascending; times and limit in hours."""
    known = np.isfinite(values)
    before = _previous(values)
    clock = np.broadcast_to(times[..., None], values.shape)
    earlier = np.take_along_axis(values, np.maximum(before, 0), axis=-2)
    gap = clock - np.take_along_axis(clock, np.maximum(before, 0), axis=-2) > GAP_HOURS
    moved = known & (before >= 0) & (np.abs(values - earlier) > UNCHANGED)
    first = known & ((before < 0) | gap)
    moment = np.arange(values.shape[-2])[:, None]
    since = np.maximum.accumulate(np.where(moved | first, moment, -1), axis=-2)
    counted = np.cumsum(known, axis=-2)
    begin = np.maximum(since, 0)
    readings = counted - np.take_along_axis(counted, begin, axis=-2) + 1
    hours = np.where(known, clock - np.take_along_axis(clock, begin, axis=-2), 0.0)
    seen_change = np.maximum.accumulate(moved, axis=-2)
    may_rest = np.zeros(values.shape, bool)
    may_rest[..., HUMIDITY] = values[..., HUMIDITY] >= SATURATED
    may_rest[..., WIND_SPEED] = values[..., WIND_SPEED] < CALM
    allowed = np.broadcast_to(limit[..., None, :], values.shape)
    failed = known & (hours >= allowed) & (readings >= FLAT_MIN_READINGS) & ~may_rest
    return FlatLineCheck(
        hours, np.where(known, readings, 0), allowed, known & (seen_change | failed | may_rest), failed
    )


def _previous(values: Array) -> npt.NDArray[np.int64]:
    """Position of the last known value before each moment, along the last axis but one; -1 where there is none."""
    moment = np.arange(values.shape[-2])[:, None]
    newest = np.maximum.accumulate(np.where(np.isfinite(values), moment, -1), axis=-2)
    return np.concatenate([np.full_like(newest[..., :1, :], -1), newest[..., :-1, :]], axis=-2)


def too_damp(values: Array) -> Mask:
    """Readings (..., 4) whose temperature and humidity cannot both be true; NaN is not."""
    return np.asarray(dew_point(values[..., 0], values[..., HUMIDITY]) > MAX_DEW_POINT)


def too_damp_in_words(temperature: float, humidity: float) -> str:
    return (
        f"{temperature:.1f} °C with {humidity:.0f} % would be a dew point of "
        f"{float(dew_point(np.array(temperature), np.array(humidity))):.1f} °C; none above {MAX_DEW_POINT:g} °C was "
        "ever measured (internal consistency check)"
    )
