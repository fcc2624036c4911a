"""Checks of a single series: one station's readings, minutes or hours apart, without neighbours or climatology."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import self_prediction
from weatherglass.qc import series_checks
from weatherglass.records import UNITS, VARIABLES, Quality

Times = npt.NDArray[np.datetime64]
Words = Callable[[int], str]

CHECKS = (
    "clock",
    "range",
    "step",
    "flat_line",
    "consistency",
    "own_past",
    "neighbours",
    "climatology",
    "isolation_forest",
)
SAME_EVENT_HOURS = 3.0
"""Flags of one check and variable no further apart than this are one event."""
CLOCK = "clock"
DAMP = "temperature and humidity"


@dataclass(frozen=True)
class SeriesEvent:
    """A stretch that one check flags.

    Attributes:
        what: a variable, `temperature and humidity`, or `clock`.
        severity: 1 for a broken rule, 0.5 to 1 for what is merely unlikely.
        onset, end: first and last flagged reading, UTC.
        readings: how many are flagged.
        row: row of the file of the worst.
    """

    check: str
    what: str
    severity: float
    onset: datetime
    end: datetime
    readings: int
    reason: str
    row: int


@dataclass(frozen=True)
class SeriesVerdict:
    """What was found, and per check and variable whether it could be checked.

    Attributes:
        checks: check -> what -> state.
        not_checked: check (and what) -> why.
        weeks: length of the series.
        step_minutes: usual time between two readings.
    """

    events: tuple[SeriesEvent, ...]
    checks: dict[str, dict[str, Quality]]
    not_checked: dict[str, str]
    weeks: float
    step_minutes: float


class TooFewReadings(ValueError):
    """Fewer than two readings say nothing."""


def check_series(
    times: Times, values: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], budget: float, now: datetime
) -> SeriesVerdict:
    """Check readings `values` (n, 4) at UTC `times` (n,), in the order in which they were written.

    `rows` number them for the reader; `budget` is how many false alarms the soft check may raise a week and variable.

    Raises:
        TooFewReadings: fewer than two.
    """
    if len(times) < 2:
        raise TooFewReadings(f"{len(times)} readings with a time; two are needed to check anything")
    events, sound = _clock(times, rows, now)
    order = np.flatnonzero(sound)[np.argsort(times[sound], kind="stable")]
    found = _Findings(times[order], rows[order], events)
    hours = (found.times - found.times[0]).astype(np.float64) / 3600
    step = float(np.median(np.diff(hours))) if len(hours) > 1 else 1.0
    inside = _hard(found, values[order], hours)
    _soft(found, inside, hours, step, budget)
    found.skip("neighbours", "all", "neighbours", "one series has no other stations beside it")
    for check in ("climatology", "isolation_forest"):
        why = "what is usual at this place and season takes years of it; so does the isolation forest"
        found.skip(check, "all", "climatology", why)
    weeks = float(hours[-1] / 168) if len(hours) else 0.0
    return SeriesVerdict(found.sorted(), found.checks, found.not_checked, weeks, step * 60)


class _Findings:
    """What the checks find, one after the other, among readings `rows` at `times` (n,)."""

    def __init__(self, times: Times, rows: npt.NDArray[np.int64], of_the_clock: list[SeriesEvent]):
        self.times, self.rows = times, rows
        self.checks: dict[str, dict[str, Quality]] = {name: {} for name in CHECKS}
        self.checks[CLOCK][CLOCK] = Quality.FAILED if of_the_clock else Quality.OK
        self.not_checked: dict[str, str] = {}
        self._events = list(of_the_clock)

    def settle(
        self,
        check: str,
        what: str,
        flagged: npt.NDArray[np.bool_],
        could: npt.NDArray[np.bool_],
        words: Words,
        severity: npt.NDArray | None = None,
        began: npt.NDArray | None = None,
    ) -> None:
        """Note what a check says of each reading (n,); `severity` is 1 where it is not given.

        `began`: how many hours before a flag it began; the longest is the worst.
        """
        self.checks[check][what] = (
            Quality.FAILED if flagged.any() else Quality.OK if could.any() else Quality.NOT_CHECKED
        )
        worth = np.ones(len(flagged)) if severity is None else severity
        self._events += _events(check, what, flagged, worth, self.times, self.rows, words, began)

    def skip(self, check: str, what: str, name: str, why: str) -> None:
        """Note that a check could not be made; `name` is what the reader is told it under."""
        self.checks[check][what] = Quality.NOT_CHECKED
        self.not_checked[name] = why

    def sorted(self) -> tuple[SeriesEvent, ...]:
        return tuple(sorted(self._events, key=lambda event: (event.onset, event.check, event.what)))


def _hard(found: _Findings, values: npt.NDArray[np.float64], hours: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rules; the values within their ranges (n, 4), NaN for the others."""
    outside = series_checks.outside(values)
    inside = np.where(outside, np.nan, values)
    steps, flats = series_checks.steps(hours, inside), series_checks.flats(hours, inside)
    damp, both = (
        series_checks.too_damp(inside),
        np.asarray(np.isfinite(inside[:, [0, series_checks.HUMIDITY]]).all(axis=1)),
    )

    def range_words(v: int, i: int) -> str:
        return series_checks.outside_in_words(v, float(values[i, v]))

    def step_words(v: int, i: int) -> str:
        return steps.in_words((i, v))

    def flat_words(v: int, i: int) -> str:
        return flats.in_words((i, v), float(values[i, v]))

    def damp_words(i: int) -> str:
        return series_checks.too_damp_in_words(float(inside[i, 0]), float(inside[i, series_checks.HUMIDITY]))

    for v, name in enumerate(VARIABLES):
        reported = np.isfinite(values[:, v])
        if not reported.any():
            for check in ("range", "step", "flat_line"):
                found.skip(check, name, name, "the file has no values of it")
            continue
        found.settle("range", name, outside[:, v], reported, partial(range_words, v))
        found.settle("step", name, steps.failed[:, v], steps.checked[:, v], partial(step_words, v))
        lasting, words = flats.hours[:, v], partial(flat_words, v)
        found.settle("flat_line", name, flats.failed[:, v], flats.checked[:, v], words, lasting, lasting)
    found.settle("consistency", DAMP, damp, both, damp_words)
    if not both.any():
        found.skip("consistency", DAMP, "consistency", "needs temperature and humidity")
    return inside


def _soft(
    found: _Findings, values: npt.NDArray[np.float64], hours: npt.NDArray[np.float64], step: float, budget: float
) -> None:
    """The check against the series' own past, on a regular axis of the usual step."""
    at = np.round(hours / step).astype(np.int64)
    first = np.concatenate([[True], np.diff(at) > 0])
    regular = np.full((int(at[-1]) + 1, len(VARIABLES)), np.nan)
    regular[at[first]] = values[first]
    midnight = found.times[0].astype("datetime64[D]")
    start = float((found.times[0] - midnight).astype(np.float64) / 3600)
    judged = self_prediction.judge(regular, start, step, budget)
    for v, name in enumerate(VARIABLES):
        if name in found.not_checked:
            found.checks["own_past"][name] = Quality.NOT_CHECKED
            continue
        if judged is None or not np.isfinite(judged.ratio[:, v]).any():
            why = f"needs {self_prediction.MIN_DAYS} days of readings"
            found.skip("own_past", name, f"own_past of {name}", why)
            continue
        ratio = np.where(first, judged.ratio[at, v], np.nan)

        def words(i: int, v: int = v) -> str:
            usual, unit = judged.expected[at[i], v], UNITS[VARIABLES[v]]
            return (
                f"{series_checks.name(v)} of {values[i, v]:.1f} {unit} is {abs(values[i, v] - usual):.1f} {unit} "
                f"{'above' if values[i, v] > usual else 'below'} what its own past lets one expect; at most "
                f"{judged.allowed[at[i], v]:.1f} {unit} is usual at this time of the day"
            )

        found.settle("own_past", name, ratio > 1, np.isfinite(ratio), words, ratio**2 / (1 + ratio**2))


def _clock(times: Times, rows: npt.NDArray[np.int64], now: datetime) -> tuple[list[SeriesEvent], npt.NDArray[np.bool_]]:
    """Readings whose time goes back, repeats or lies in the future, and which readings are left (n,)."""
    latest = np.maximum.accumulate(times)
    before = np.concatenate([times[:1], latest[:-1]])
    back = times < before
    repeated = np.concatenate([[False], times[1:] == before[1:]])
    future = times > np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "s")
    found = []
    for i in np.flatnonzero(back & ~np.concatenate([[False], back[:-1]])):
        end = i
        while end + 1 < len(times) and back[end + 1]:
            end += 1
        seconds = int((before[i] - times[i]).astype(np.int64))
        reason = f"the clock went back by {seconds:,} s; it had caught up {end - i + 1} readings later (clock check)"
        found.append(_event(CLOCK, CLOCK, 1.0, times[i], times[end], int(end - i + 1), reason, int(rows[i])))
    for mask, words in ((repeated, "a time that was there before"), (future, "a time in the future")):
        if mask.any():
            at = np.flatnonzero(mask)
            reason = f"{len(at)} readings have {words}, the first in row {rows[at[0]]} (clock check)"
            found.append(_event(CLOCK, CLOCK, 1.0, times[at[0]], times[at[-1]], len(at), reason, int(rows[at[0]])))
    return found, ~(back | repeated | future)


def _events(
    check: str,
    what: str,
    flagged: npt.NDArray,
    severity: npt.NDArray,
    times: Times,
    rows: npt.NDArray[np.int64],
    words: Words,
    began: npt.NDArray | None = None,
) -> list[SeriesEvent]:
    """Events of one check, in the words of the worst reading; `began` is how many hours before a flag it began."""
    at = np.flatnonzero(flagged)
    if len(at) == 0:
        return []
    gaps = np.diff(times[at]).astype(np.float64) / 3600 > SAME_EVENT_HOURS
    made = []
    for part in np.split(at, np.flatnonzero(gaps) + 1):
        worst = int(part[np.argmax(severity[part])])
        onset = times[part[0]]
        if began is not None:
            onset = onset - np.timedelta64(round(began[part[0]] * 3600), "s")
        made.append(
            _event(
                check,
                what,
                min(1.0, float(severity[worst])),
                onset,
                times[part[-1]],
                len(part),
                words(worst),
                int(rows[worst]),
            )
        )
    return made


def _event(
    check: str, what: str, severity: float, onset: np.datetime64, end: np.datetime64, count: int, reason: str, row: int
) -> SeriesEvent:
    first, last = (time.astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC) for time in (onset, end))
    return SeriesEvent(check, what, round(severity, 2), first, last, count, reason, row)
