"""Checks of the recent series of a station: the rules behind hard flags.

All checks work on series (..., moments, variables) whose moments may be unevenly spaced, so that the same code checks
the latest reading in serving, a whole history, and a file of one station. Each states where it could not check. The
limits and their sources are in `limits`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from weatherglass.meteorology import dew_point
from weatherglass.qc import limits
from weatherglass.records import UNITS, VARIABLES

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


def _as_array(by_variable: Mapping[str, float]) -> npt.NDArray[np.float64]:
    return np.array([by_variable[variable] for variable in VARIABLES])


LOW = _as_array({name: limit.low for name, limit in limits.RANGE_LIMITS.items()})
HIGH = _as_array({name: limit.high for name, limit in limits.RANGE_LIMITS.items()})
RESOLUTION = _as_array({name: limit.resolution for name, limit in limits.RANGE_LIMITS.items()})
STEP_PER_HOUR = _as_array(limits.STEP.series)
LARGEST_STEP = _as_array(limits.LARGEST_STEP.value)
STEP_SHARE = _as_array(limits.STEP_SHARE.value)
FLAT_HOURS = _as_array(limits.FLAT_HOURS.series)
COARSE_FLAT_HOURS = _as_array(limits.COARSE_FLAT_HOURS.value)
COARSE_RESOLUTION = _as_array(limits.COARSE_RESOLUTION.value)
LONGEST_FLAT_HOURS = _as_array(limits.LONGEST_FLAT_HOURS.value)
"""The limits as arrays (4,), in the order of `VARIABLES`."""

TEMPERATURE, HUMIDITY, WIND_SPEED = (VARIABLES.index(name) for name in ("temperature", "humidity", "wind_speed"))


def display_name(variable: int) -> str:
    return VARIABLES[variable].replace("_", " ")


def usable_values(values: npt.NDArray[limits.Float]) -> npt.NDArray[limits.Float]:
    """Return the values (..., 4) that are possible anywhere (`limits.RangeLimit.usable`), NaN for the others."""
    of_variables = [limits.RANGE_LIMITS[name].usable(values[..., v]) for v, name in enumerate(VARIABLES)]
    return np.stack(of_variables, axis=-1)


def outside_range(values: Array) -> Mask:
    """Mark the values (..., 4) that are possible nowhere; False where missing."""
    return np.asarray(np.isnan(usable_values(values)) & ~np.isnan(values))


def describe_range(variable: int, value: float) -> str:
    """Return the reason of a range flag."""
    unit = UNITS[VARIABLES[variable]]
    return (
        f"{display_name(variable)} of {value:.1f} {unit} is outside the range of {LOW[variable]:g} to "
        f"{HIGH[variable]:g} {unit} and was excluded (range check)"
    )


EXCLUDED_VARIABLES = {
    "range": VARIABLES,
    "climate": ("temperature", "pressure", "wind_speed"),
    "dew_point": ("temperature", "humidity"),
    "pressure_elevation": ("pressure",),
}
"""The variables that each check of `observation_checks` excludes from a window."""
CONSISTENCY_CHECKS = ("dew_point", "pressure_elevation")


def describe_exclusion(check: str, variable: int) -> str:
    """Return why a check of single observations excluded a value, which is no longer known."""
    if check == "climate":
        return f"{display_name(variable)} was excluded: it is far outside the station's history for this month"
    if check == "dew_point":
        return f"{display_name(variable)} was excluded: temperature and humidity give an impossible dew point"
    if check == "pressure_elevation":
        return "pressure was excluded: it is impossible at the elevation of the station"
    return f"{display_name(variable)} was excluded: it is impossible at the station (range check)"


@dataclass(frozen=True)
class StepCheck:
    """Change of each value; all arrays (..., moments, 4).

    The change is that since the last known value, unless it is allowed and the one since an earlier value is not.

    Attributes:
        change: in the variable's unit.
        hours: time in which it happened.
        allowed: the largest change that is not flagged.
    """

    change: Array
    hours: Array
    allowed: Array
    checked: Mask

    @property
    def failed(self) -> Mask:
        return np.asarray(self.checked & (np.abs(self.change) > self.allowed))

    def describe(self, at: tuple[int, ...]) -> str:
        """Return the reason of the flag at an index (..., moment, variable)."""
        unit = UNITS[VARIABLES[at[-1]]]
        return (
            f"{display_name(at[-1])} changed by {self.change[at]:+.1f} {unit} in {self.hours[at] * 60:.0f} minutes; "
            f"the limit is {self.allowed[at]:.1f} {unit} (step check)"
        )


def check_steps(times: Array, values: Array, limit: Array = STEP_PER_HOUR) -> StepCheck:
    """Check the changes of values.

    Frequent readings divide a fast rise into small steps, so values are also compared with those 2, 3, 4, 6, 9, 13, …
    readings and up to an hour before: a reading fails when it is the first one too far from one of them. The wind comes
    in gusts and is excluded.

    Args:
        times: (..., moments) hours, ascending.
        values: (..., moments, 4).
        limit: (..., 4) per hour.
    """
    before = _previous(values)
    known = before >= 0
    earlier = np.maximum(before, 0)
    change = values - np.take_along_axis(values, earlier, axis=-2)
    all_times = np.broadcast_to(times[..., None], values.shape)
    hours = all_times - np.take_along_axis(all_times, earlier, axis=-2)
    checked = known & np.isfinite(values) & (hours <= limits.GAP_HOURS.value)

    def allowed_within(hours: Array) -> Array:
        return np.asarray(limit[..., None, :] * np.maximum(STEP_SHARE, np.sqrt(hours)))

    steps = StepCheck(change, hours, allowed_within(hours), checked)
    at_previous = np.where(known, values - change, np.nan)
    for lag in _lags(times):
        since, halfway = _values_before(values, lag), _values_before(values, (lag + 1) // 2)
        lag_hours = np.full_like(hours, np.inf)
        lag_hours[..., lag:, :] = all_times[..., lag:, :] - all_times[..., :-lag, :]
        allowed = allowed_within(np.minimum(lag_hours, limits.STEP_HOURS.value))
        first = (np.abs(values - since) > allowed) & (np.abs(at_previous - since) <= allowed)
        first &= (lag_hours <= limits.STEP_HOURS.value) & checked & ~steps.failed
        first &= np.abs(values - halfway) >= limits.STEP_LAST_HALF.value * np.abs(values - since)
        first[..., WIND_SPEED] = False
        steps = StepCheck(
            np.where(first, values - since, steps.change),
            np.where(first, lag_hours, steps.hours),
            np.where(first, allowed, steps.allowed),
            checked,
        )
    return steps


def _values_before(values: Array, lag: int) -> Array:
    """Return the values (..., moments, 4) `lag` moments before each; NaN where there is none."""
    return np.concatenate([np.full_like(values[..., :lag, :], np.nan), values[..., :-lag, :]], axis=-2)


def _lags(times: Array) -> Iterator[int]:
    """Yield the numbers of readings, from two on, that lie within an hour somewhere; large ones only approximately."""
    lag = 2
    while lag < times.shape[-1] and (times[..., lag:] - times[..., :-lag] <= limits.STEP_HOURS.value).any():
        yield lag
        lag += lag // 2


@dataclass(frozen=True)
class FlatLineCheck:
    """How long each value has been constant; all arrays (..., moments, 4).

    Attributes:
        hours, readings: since the first of the equal values; it is counted.
        allowed: hours from which on the sensor is taken to be stuck.
        checked: the series contains a change, or a flat line long enough to be flagged.
    """

    hours: Array
    readings: npt.NDArray[np.int64]
    allowed: Array
    checked: Mask
    failed: Mask

    def describe(self, at: tuple[int, ...], value: float) -> str:
        """Return the reason of the flag at an index (..., moment, variable)."""
        return (
            f"{display_name(at[-1])} has been constant at {value:.1f} {UNITS[VARIABLES[at[-1]]]} for "
            f"{self.hours[at]:.0f} h; the limit is {self.allowed[at]:.0f} h (flat line check)"
        )


def flat_line_limit(resolution: Array) -> npt.NDArray[np.float64]:
    """Return the hours (..., 4) from which on a flat line is flagged, by the resolution; NaN where it is unknown."""
    return np.where(resolution < COARSE_RESOLUTION, FLAT_HOURS, COARSE_FLAT_HOURS)


def check_flat_lines(times: Array, values: Array, limit: Array = FLAT_HOURS) -> FlatLineCheck:
    """Check values for flat lines.

    Args:
        times: (..., moments) hours, ascending.
        values: (..., moments, 4).
        limit: (..., 4) hours.
    """
    known = np.isfinite(values)
    before = _previous(values)
    all_times = np.broadcast_to(times[..., None], values.shape)
    earlier = np.take_along_axis(values, np.maximum(before, 0), axis=-2)
    gap = all_times - np.take_along_axis(all_times, np.maximum(before, 0), axis=-2) > limits.GAP_HOURS.value
    changed = known & (before >= 0) & (np.abs(values - earlier) > limits.UNCHANGED.series)
    first = known & ((before < 0) | gap)
    moment = np.arange(values.shape[-2])[:, None]
    since = np.maximum.accumulate(np.where(changed | first, moment, -1), axis=-2)
    counted = np.cumsum(known, axis=-2)
    begin = np.maximum(since, 0)
    readings = counted - np.take_along_axis(counted, begin, axis=-2) + 1
    hours = np.where(known, all_times - np.take_along_axis(all_times, begin, axis=-2), 0.0)
    seen_change = np.maximum.accumulate(changed, axis=-2)
    may_be_constant = np.zeros(values.shape, bool)
    may_be_constant[..., HUMIDITY] = values[..., HUMIDITY] >= limits.SATURATION.series
    may_be_constant[..., WIND_SPEED] = values[..., WIND_SPEED] < limits.CALM.value
    allowed = np.broadcast_to(limit[..., None, :], values.shape)
    failed = known & (hours >= allowed) & (readings >= limits.FLAT_MIN_READINGS.value) & ~may_be_constant
    return FlatLineCheck(
        hours, np.where(known, readings, 0), allowed, known & (seen_change | failed | may_be_constant), failed
    )


def _previous(values: Array) -> npt.NDArray[np.int64]:
    """Return the position of the last known value before each moment, along the second last axis; -1 if none."""
    moment = np.arange(values.shape[-2])[:, None]
    newest = np.maximum.accumulate(np.where(np.isfinite(values), moment, -1), axis=-2)
    return np.concatenate([np.full_like(newest[..., :1, :], -1), newest[..., :-1, :]], axis=-2)


def exceeds_dew_point(values: Array) -> Mask:
    """Mark the readings (..., 4) whose temperature and humidity cannot both be right; False where one is missing."""
    return np.asarray(dew_point(values[..., TEMPERATURE], values[..., HUMIDITY]) > limits.DEW_POINT.series)


def describe_dew_point(temperature: float, humidity: float) -> str:
    """Return the reason of a consistency flag; °C and %."""
    return (
        f"{temperature:.1f} °C with {humidity:.0f} % is a dew point of "
        f"{float(dew_point(np.array(temperature), np.array(humidity))):.1f} °C; the highest on record is "
        f"{limits.DEW_POINT.series:g} °C (internal consistency check)"
    )
