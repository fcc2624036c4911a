"""The rules behind hard flags. Each says ok, failed or not checked, with a sentence a person understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from weatherglass.models.channels import channels
from weatherglass.quality import LIMITS
from weatherglass.records import UNITS, VARIABLES, Quality, WindowFeatures

STEP_PER_HOUR = (19.4, 50.0, 15.0, 10.3)
"""Largest honest change within an hour, as `VARIABLES`: 35 °F, 50 %, 15 hPa, 20 kt (NOAA MADIS, Meteorological Surface
Quality Control, level 2 temporal consistency check)."""
STEP_SHARE = 0.5
"""Over less than a quarter of an hour a change of half as much is allowed; between, it grows as the root of time, as
that of weather does."""
STEP_GAP = timedelta(hours=3)
"""Two readings further apart than this say nothing about a step."""

FLAT_HOURS = (6.0, 12.0, 12.0, 24.0)
"""Hours without any change beyond which a sensor is taken to be stuck, as `VARIABLES`. After the persistence test of
Zahumenský (2004), Guidelines on Quality Control Procedures for Data from Automatic Weather Stations, WMO, but much
wider: sources round, and interpolate between hours."""
FLAT_MIN_READINGS = 5
SATURATED = 98.0
"""%: above this, fog and rain keep the humidity still for days."""
CALM = 0.5
"""m/s: below this a cup does not turn."""

RESOLUTION = np.array([LIMITS[variable].resolution for variable in VARIABLES])


def name(variable: int) -> str:
    return VARIABLES[variable].replace("_", " ")


@dataclass(frozen=True)
class Reading:
    """One observation: UTC time and values in the order of `VARIABLES`, NaN where missing."""

    time: datetime
    values: tuple[float, ...]

    @classmethod
    def of(cls, window: WindowFeatures) -> Reading:
        """The newest observation of a window."""
        features = window.aggregated_features
        blocks = (features.temperature, features.humidity, features.pressure, features.wind_speed)
        values = tuple(np.nan if block.last is None else block.last for block in blocks)
        return cls(features.last_observation, values)


@dataclass(frozen=True)
class Finding:
    """What a check found; `score` 0..1, 1 for a broken rule, over 0.5 for a soft flag."""

    quality: Quality
    score: float
    reasons: tuple[str, ...] = ()

    @classmethod
    def not_checked(cls) -> Finding:
        return cls(Quality.NOT_CHECKED, 0.0)

    @classmethod
    def hard(cls, reasons: Sequence[str]) -> Finding:
        return cls(Quality.FAILED, 1.0, tuple(reasons)) if reasons else cls(Quality.OK, 0.0)

    @classmethod
    def soft(cls, score: float, reasons: Sequence[str]) -> Finding:
        return cls(Quality.FAILED if reasons else Quality.OK, score, tuple(reasons))


def plausible(window: WindowFeatures) -> Finding:
    """Range check, done where the window was made: a value outside is in no aggregate, so its number is not known."""
    states = window.aggregated_features.quality
    failed = [
        f"{variable.replace('_', ' ')} was outside {LIMITS[variable].low:g} to {LIMITS[variable].high:g} "
        f"{UNITS[variable]} and left out (WMO range check)"
        for variable, state in states.items()
        if state is Quality.FAILED
    ]
    if not failed and Quality.OK not in states.values():
        return Finding.not_checked()
    return Finding.hard(failed)


def step(reading: Reading, recent: Sequence[Reading]) -> Finding:
    """Change since the station's last reading that has the variable."""
    reasons, checked = [], False
    for v, variable in enumerate(VARIABLES):
        before = next((r for r in reversed(recent) if r.time < reading.time and np.isfinite(r.values[v])), None)
        if before is None or not np.isfinite(reading.values[v]) or reading.time - before.time > STEP_GAP:
            continue
        checked = True
        hours = (reading.time - before.time) / timedelta(hours=1)
        allowed = STEP_PER_HOUR[v] * max(STEP_SHARE, hours**0.5)
        change = reading.values[v] - before.values[v]
        if abs(change) > allowed:
            reasons.append(
                f"{name(v)} jumped by {change:+.1f} {UNITS[variable]} in {hours * 60:.0f} minutes; at most "
                f"{allowed:.1f} {UNITS[variable]} is usual (step check)"
            )
    return Finding.hard(reasons) if checked else Finding.not_checked()


def flat_line(
    reading: Reading, recent: Sequence[Reading], past: npt.NDArray[np.float32] | None, start: np.datetime64
) -> Finding:
    """How long a value has not changed, by the last readings and, before them, by the station's hours (hours, 5)."""
    reasons, checked = [], False
    hours = _hours_before(recent[0].time if recent else reading.time, past, start)
    known = [*hours, *(r for r in recent if r.time < reading.time)]
    for v, variable in enumerate(VARIABLES):
        value = reading.values[v]
        if not np.isfinite(value):
            continue
        if (variable == "humidity" and value >= SATURATED) or (variable == "wind_speed" and value < CALM):
            checked = True
            continue
        since, count, changed = reading.time, 1, False
        for earlier in reversed(known):
            if not np.isfinite(earlier.values[v]):
                continue
            if abs(earlier.values[v] - value) > 1e-3 * max(1.0, abs(value)) * 0.1 + 1e-3:
                changed = True
                break
            since, count = earlier.time, count + 1
        length = (reading.time - since) / timedelta(hours=1)
        stuck = length >= FLAT_HOURS[v] and count >= FLAT_MIN_READINGS
        checked = checked or changed or stuck
        if stuck:
            reasons.append(
                f"{name(v)} has been {value:.1f} {UNITS[variable]} for {length:.0f} h without any change; a working "
                f"sensor moves within {FLAT_HOURS[v]:.0f} h (flat line check)"
            )
    return Finding.hard(reasons) if checked else Finding.not_checked()


def _hours_before(before: datetime, past: npt.NDArray[np.float32] | None, start: np.datetime64) -> list[Reading]:
    """The station's last hours before a time as readings, at most as many as a flat line takes to be seen."""
    if past is None:
        return []
    end = int((np.datetime64(before.astimezone(UTC).replace(tzinfo=None), "m") - start) / np.timedelta64(1, "h"))
    end = min(max(end, 0), len(past))
    first = max(0, end - int(max(FLAT_HOURS)) - 1)
    values = channels(past[first:end])[:, : len(VARIABLES)]
    origin = start.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    return [
        Reading(origin + timedelta(hours=first + i), tuple(row)) for i, row in enumerate(values.astype(float).tolist())
    ]
