"""Checks of a single series: the readings of one station, minutes or hours apart, without neighbours or climatology."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import recent_level, resolution, self_prediction
from weatherglass.anomaly.episodes import WEEK
from weatherglass.anomaly.regular_axis import RegularAxis
from weatherglass.qc import series_checks
from weatherglass.records import UNITS, VARIABLES, Quality

Times = npt.NDArray[np.datetime64]
Describe = Callable[[int], str]

CHECKS = (
    "clock",
    "range",
    "step",
    "flat_line",
    "consistency",
    "self_prediction",
    "recent_level",
    "neighbours",
    "climatology",
    "isolation_forest",
)
MERGE_HOURS, SOFT_MERGE_HOURS = 3.0, 12.0
MERGE_STEPS = 60
"""Flags of one check and subject no further apart than so many hours and usual steps are one event."""
SOFT_CHECKS = ("self_prediction", "recent_level")
"""The checks that share the budget."""
CLOCK = "clock"
TEMPERATURE_AND_HUMIDITY = "temperature and humidity"


@dataclass(frozen=True)
class SeriesEvent:
    """Consecutive readings that one check flags.

    Attributes:
        subject: a variable, `temperature and humidity`, or `clock`.
        severity: 1 for a broken rule, 0.5 to 1 for an unlikely value.
        onset, end: first and last flagged reading, UTC; a flat line begins with its first value.
        readings: number of flagged readings.
        line: line in the file of the reading with the highest severity.
    """

    check: str
    subject: str
    severity: float
    onset: datetime
    end: datetime
    readings: int
    reason: str
    line: int


@dataclass(frozen=True)
class SeriesReport:
    """The events, and which checks were possible.

    Attributes:
        checks: check -> subject -> state.
        not_checked: check or subject -> reason.
        weeks: length of the series.
        step_minutes: usual time between two readings.
    """

    events: tuple[SeriesEvent, ...]
    checks: dict[str, dict[str, Quality]]
    not_checked: dict[str, str]
    weeks: float
    step_minutes: float


class TooFewReadings(ValueError):
    """Fewer than two readings with a usable time, which cannot be checked."""


def check_series(
    times: Times, values: npt.NDArray[np.float64], lines: npt.NDArray[np.int64], budget: float, now: datetime
) -> SeriesReport:
    """Check the readings of one station.

    Args:
        times: (n,) UTC, in the order of the file.
        values: (n, 4) as `VARIABLES`; NaN where missing.
        lines: (n,) line of each reading in the file, for the report.
        budget: false alarms of the soft check per week and variable.
        now: readings after this time are in the future.

    Raises:
        TooFewReadings: fewer than two readings with a usable time.
    """
    if len(times) < 2:
        raise TooFewReadings(f"{len(times)} readings with a time, at least two are needed")
    events, usable = _check_clock(times, lines, now)
    if usable.sum() < 2:
        raise TooFewReadings("; ".join(event.reason for event in events))
    order = np.flatnonzero(usable)[np.argsort(times[usable], kind="stable")]
    hours = (times[order] - times[order[0]]).astype(np.float64) / 3600
    step = float(np.median(np.diff(hours)))
    results = _Results(times[order], lines[order], events, step)
    plausible = _check_rules(results, values[order], hours)
    axis = RegularAxis.of(results.times, hours, step)
    learned = resolution.resolutions(plausible)
    smallest = np.where(np.isfinite(learned), learned, series_checks.RESOLUTION)
    _check_self_prediction(results, plausible, axis, budget / len(SOFT_CHECKS), smallest)
    _check_recent_level(results, plausible, axis, budget / len(SOFT_CHECKS), smallest)
    results.skip("neighbours", "all", "neighbours", "a single series has no neighbouring stations")
    for check in ("climatology", "isolation_forest"):
        results.skip(check, "all", check, "needs years of history of the station")
    weeks = float(hours[-1] / 168) if len(hours) else 0.0
    return SeriesReport(results.sorted(), results.checks, results.not_checked, weeks, step * 60)


class _Results:
    """Collects the results of the checks of readings at `times` (n,) in the lines `lines` (n,) of the file."""

    def __init__(self, times: Times, lines: npt.NDArray[np.int64], clock_events: list[SeriesEvent], step: float):
        self.times, self.lines, self._step = times, lines, step
        self.checks: dict[str, dict[str, Quality]] = {name: {} for name in CHECKS}
        self.checks[CLOCK][CLOCK] = Quality.FAILED if clock_events else Quality.OK
        self.not_checked: dict[str, str] = {}
        self._events = list(clock_events)

    def add(
        self,
        check: str,
        subject: str,
        flagged: npt.NDArray[np.bool_],
        checked: npt.NDArray[np.bool_],
        describe: Describe,
        severity: npt.NDArray | None = None,
        duration: npt.NDArray | None = None,
    ) -> None:
        """Add the result of a check for each reading (n,).

        Args:
            describe: returns the reason of the flag of a reading.
            severity: 1 if not given; the event reports the reading with the highest.
            duration: hours since the fault of a flagged reading began.
        """
        self.checks[check][subject] = (
            Quality.FAILED if flagged.any() else Quality.OK if checked.any() else Quality.NOT_CHECKED
        )
        severities = np.ones(len(flagged)) if severity is None else severity
        self._events += _events(
            check, subject, flagged, severities, self.times, self.lines, self.merge_hours(check), describe, duration
        )

    def merge_hours(self, check: str) -> float:
        """Return the longest time between two flags of an event."""
        return min(SOFT_MERGE_HOURS if check in SOFT_CHECKS else MERGE_HOURS, MERGE_STEPS * self._step)

    def merge_steps(self, check: str, step: float) -> int:
        """Return `merge_hours` in steps of so many hours; at least one, also in a series with days between readings."""
        return max(1, round(self.merge_hours(check) / step))

    def skip(self, check: str, subject: str, name: str, reason: str) -> None:
        """Add a check that was not possible; the reason is reported under `name`."""
        self.checks[check][subject] = Quality.NOT_CHECKED
        self.not_checked[name] = reason

    def sorted(self) -> tuple[SeriesEvent, ...]:
        return tuple(sorted(self._events, key=lambda event: (event.onset, event.check, event.subject)))


def _check_rules(
    results: _Results, values: npt.NDArray[np.float64], hours: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Apply the rules and return the values (n, 4) within their ranges, NaN for the others."""
    outside = series_checks.outside_range(values)
    plausible = series_checks.usable_values(values)
    steps = series_checks.check_steps(hours, plausible)
    flat_limit = series_checks.flat_line_limit(resolution.resolutions(plausible))
    flat_lines = series_checks.check_flat_lines(hours, plausible, flat_limit)
    pair = plausible[:, [series_checks.TEMPERATURE, series_checks.HUMIDITY]]
    both = np.asarray(np.isfinite(pair).all(axis=1))

    def describe_range(v: int, i: int) -> str:
        return series_checks.describe_range(v, float(values[i, v]))

    def describe_step(v: int, i: int) -> str:
        return steps.describe((i, v))

    def describe_flat_line(v: int, i: int) -> str:
        return flat_lines.describe((i, v), float(values[i, v]))

    def describe_dew_point(i: int) -> str:
        return series_checks.describe_dew_point(*pair[i].tolist())

    for v, name in enumerate(VARIABLES):
        reported = np.isfinite(values[:, v])
        if not reported.any():
            for check in ("range", "step", "flat_line"):
                results.skip(check, name, name, "the file has no values of this variable")
            continue
        results.add("range", name, outside[:, v], reported, partial(describe_range, v))
        results.add("step", name, steps.failed[:, v], steps.checked[:, v], partial(describe_step, v))
        duration, describe = flat_lines.hours[:, v], partial(describe_flat_line, v)
        results.add("flat_line", name, flat_lines.failed[:, v], flat_lines.checked[:, v], describe, duration, duration)
    inconsistent = series_checks.exceeds_dew_point(plausible)
    results.add("consistency", TEMPERATURE_AND_HUMIDITY, inconsistent, both, describe_dew_point)
    if not both.any():
        results.skip("consistency", TEMPERATURE_AND_HUMIDITY, "consistency", "needs temperature and humidity")
    return plausible


def _check_self_prediction(
    results: _Results,
    values: npt.NDArray[np.float64],
    axis: RegularAxis,
    budget: float,
    smallest: npt.NDArray[np.float64],
) -> None:
    """Compare the series with predictions from its own past; `smallest` (4,) differences that matter."""
    gap = results.merge_steps("self_prediction", axis.step)
    prediction = self_prediction.predict(axis.regular(values), axis.start_hour, axis.step, budget, smallest, gap)
    for v, name in enumerate(VARIABLES):
        if name in results.not_checked:
            results.checks["self_prediction"][name] = Quality.NOT_CHECKED
            continue
        if prediction is None or not np.isfinite(prediction.ratio[:, v]).any():
            reason = (
                f"needs {self_prediction.MIN_DAYS} days of readings, most of them at most "
                f"{self_prediction.HOLD_HOURS:g} h or one interval after the one before"
            )
            results.skip("self_prediction", name, f"self_prediction of {name}", reason)
            continue
        ratio, expected, limit = (
            axis.of_readings(array[:, v]) for array in (prediction.ratio, prediction.expected, prediction.limit)
        )
        describe = partial(_describe_distance, v, values[:, v], expected, limit, "expected from its own past")
        results.add("self_prediction", name, ratio > 1, np.isfinite(ratio), describe, ratio**2 / (1 + ratio**2))


def _check_recent_level(
    results: _Results,
    values: npt.NDArray[np.float64],
    axis: RegularAxis,
    budget: float,
    smallest: npt.NDArray[np.float64],
) -> None:
    """Find departures from the recent level: pulses, level shifts and drifts; arguments as above."""
    gap = results.merge_steps("recent_level", axis.step)
    for v, name in enumerate(VARIABLES):
        if name in results.not_checked:
            results.checks["recent_level"][name] = Quality.NOT_CHECKED
            continue
        series = axis.regular(values[:, v])
        allowed = budget * np.isfinite(series).sum() * axis.step / WEEK
        departures = recent_level.find(series, axis.start_hour, axis.step, allowed, float(smallest[v]), gap)
        if departures is None:
            results.skip("recent_level", name, f"recent_level of {name}", _why_no_level(axis))
            continue
        ratio, expected, limit = (
            axis.of_readings(array) for array in (departures.ratio, departures.expected, departures.limit)
        )
        flagged = axis.of_readings(departures.flagged) > 0
        describe = partial(_describe_distance, v, values[:, v], expected, limit, "of its recent level")
        results.add("recent_level", name, flagged, np.isfinite(ratio), describe, ratio**2 / (1 + ratio**2))


def _why_no_level(axis: RegularAxis) -> str:
    """Return why no reading has a recent level."""
    needed = recent_level.needed_readings(axis.step)
    if needed is None:
        return f"needs readings at most {recent_level.WINDOW_HOURS[-1] / recent_level.MIN_STEPS:g} h apart"
    if axis.count < needed:
        return f"needs {needed} readings at this interval"
    return f"needs a value in at least {recent_level.MIN_SHARE:.0%} of the readings"


def _describe_distance(
    v: int,
    values: npt.NDArray[np.float64],
    expected: npt.NDArray[np.float64],
    limit: npt.NDArray[np.float64],
    source: str,
    i: int,
) -> str:
    unit, value = UNITS[VARIABLES[v]], values[i]
    return (
        f"{series_checks.display_name(v)} of {value:.1f} {unit} is {abs(value - expected[i]):.1f} {unit} "
        f"{'above' if value > expected[i] else 'below'} the value {source}; the limit at this time is "
        f"{limit[i]:.1f} {unit}"
    )


def _check_clock(
    times: Times, lines: npt.NDArray[np.int64], now: datetime
) -> tuple[list[SeriesEvent], npt.NDArray[np.bool_]]:
    """Find times that are out of order, repeated or in the future; return the events and the usable readings (n,).

    Out of order is what has to be left out so that the times increase, so one wrong time costs one reading.
    """
    future = times > np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "s")
    usable = np.zeros(len(times), bool)
    usable[np.flatnonzero(~future)[_increasing(times[~future])]] = True
    position = np.maximum.accumulate(np.where(usable, np.arange(len(times)), -1))
    before = times[np.maximum(position, 0)]
    repeated = ~usable & ~future & (position >= 0) & (times == before)
    wrong = ~usable & ~future & ~repeated
    events = []
    for group in np.split(np.flatnonzero(wrong), np.flatnonzero(np.diff(np.flatnonzero(wrong)) > 1) + 1):
        if not len(group):
            continue
        first = int(group[0])
        seconds = int((times[first] - before[first]).astype(np.int64)) if position[first] >= 0 else 1
        direction = f"back by {-seconds:,} s" if seconds < 0 else f"forward to {times[first]}"
        reason = f"the clock went {direction} and was right again {len(group)} readings later (clock check)"
        ends = times[group[0]], times[group[-1]]
        events.append(_event(CLOCK, CLOCK, 1.0, min(ends), max(ends), len(group), reason, int(lines[first])))
    for mask, problem in ((repeated, "a repeated time"), (future, "a time in the future")):
        if mask.any():
            at = np.flatnonzero(mask)
            reason = f"{len(at)} readings have {problem}, the first in line {lines[at[0]]} (clock check)"
            events.append(_event(CLOCK, CLOCK, 1.0, times[at[0]], times[at[-1]], len(at), reason, int(lines[at[0]])))
    return events, usable


def _increasing(times: Times) -> npt.NDArray[np.int64]:
    """Return the positions of the longest strictly increasing subsequence (Fredman 1975); of equal times the first."""
    ends: list[int] = []
    positions: list[int] = []
    previous = np.full(len(times), -1)
    for i, time in enumerate(times.astype(np.int64).tolist()):
        length = bisect_left(ends, time)
        if length < len(ends) and ends[length] == time:
            continue
        ends[length : length + 1] = [time]
        positions[length : length + 1] = [i]
        previous[i] = positions[length - 1] if length else -1
    chain = [positions[-1]] if positions else []
    while chain and previous[chain[-1]] >= 0:
        chain.append(int(previous[chain[-1]]))
    return np.array(chain[::-1], dtype=np.int64)


def _events(
    check: str,
    subject: str,
    flagged: npt.NDArray,
    severity: npt.NDArray,
    times: Times,
    lines: npt.NDArray[np.int64],
    merge_hours: float,
    describe: Describe,
    duration: npt.NDArray | None = None,
) -> list[SeriesEvent]:
    """Merge the flagged readings of a check into events; arguments as of `_Results.add`."""
    at = np.flatnonzero(flagged)
    if len(at) == 0:
        return []
    gaps = np.diff(times[at]).astype(np.float64) / 3600 > merge_hours
    events = []
    for group in np.split(at, np.flatnonzero(gaps) + 1):
        worst = int(group[np.argmax(severity[group])])
        onset = times[group[0]]
        if duration is not None:
            onset = onset - np.timedelta64(round(duration[group[0]] * 3600), "s")
        highest = min(1.0, float(severity[worst]))
        end, reason = times[group[-1]], describe(worst)
        events.append(_event(check, subject, highest, onset, end, len(group), reason, int(lines[worst])))
    return events


def _event(
    check: str,
    subject: str,
    severity: float,
    onset: np.datetime64,
    end: np.datetime64,
    count: int,
    reason: str,
    line: int,
) -> SeriesEvent:
    first, last = (time.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC) for time in (onset, end))
    return SeriesEvent(check, subject, round(severity, 2), first, last, count, reason, line)
