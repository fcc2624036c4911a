"""Checks of a single series: one station's readings, minutes or hours apart, without neighbours or climatology."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np
import numpy.typing as npt

from weatherglass.models import own_past, rules
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
    found, sound = _clock(times, rows, now)
    order = np.flatnonzero(sound)[np.argsort(times[sound], kind="stable")]
    times, values, rows = times[order], values[order], rows[order]
    hours = (times - times[0]).astype(np.float64) / 3600
    step = float(np.median(np.diff(hours))) if len(hours) > 1 else 1.0
    reports = [bool(np.isfinite(values[:, v]).any()) for v in range(len(VARIABLES))]
    checks: dict[str, dict[str, Quality]] = {name: {} for name in CHECKS}
    why: dict[str, str] = {}

    def settle(
        check: str,
        what: str,
        flagged: npt.NDArray[np.bool_],
        could: npt.NDArray[np.bool_] | np.bool_,
        words: Words,
        began: npt.NDArray | None = None,
    ) -> None:
        state = Quality.FAILED if flagged.any() else Quality.OK if could.any() else Quality.NOT_CHECKED
        checks[check][what] = state
        severity = np.ones(len(flagged)) if began is None else began
        found.extend(_events(check, what, flagged, severity, times, rows, words, began))

    outside = rules.outside(values)
    inside = np.where(outside, np.nan, values)
    steps, flats = rules.steps(hours, inside), rules.flats(hours, inside)
    damp, both = rules.too_damp(inside), np.isfinite(inside[:, [0, rules.HUMIDITY]]).all(axis=1)

    def range_words(v: int, i: int) -> str:
        return rules.outside_in_words(v, float(values[i, v]))

    def step_words(v: int, i: int) -> str:
        return steps.in_words((i, v))

    def flat_words(v: int, i: int) -> str:
        return flats.in_words((i, v), float(values[i, v]))

    def damp_words(i: int) -> str:
        return rules.too_damp_in_words(float(inside[i, 0]), float(inside[i, rules.HUMIDITY]))

    for v, name in enumerate(VARIABLES):
        if not reports[v]:
            for check in ("range", "step", "flat_line", "own_past"):
                checks[check][name] = Quality.NOT_CHECKED
            why[name] = "the file has no values of it"
            continue
        settle("range", name, outside[:, v], np.isfinite(values[:, v]), partial(range_words, v))
        settle("step", name, steps.failed[:, v], steps.checked[:, v], partial(step_words, v))
        settle("flat_line", name, flats.failed[:, v], flats.checked[:, v], partial(flat_words, v), flats.hours[:, v])
    settle("consistency", DAMP, damp, both, damp_words)
    if not both.any():
        why["consistency"] = "needs temperature and humidity"
    _soft(inside, times, hours, step, budget, reports, checks, why, found, rows)
    checks[CLOCK][CLOCK] = Quality.FAILED if any(event.check == CLOCK for event in found) else Quality.OK
    why["neighbours"] = "one series has no other stations beside it"
    why["climatology"] = "what is usual at this place and season takes years of it; so does the isolation forest"
    for check in ("neighbours", "climatology", "isolation_forest"):
        checks[check]["all"] = Quality.NOT_CHECKED
    found.sort(key=lambda event: (event.onset, event.check, event.what))
    return SeriesVerdict(tuple(found), checks, why, float(hours[-1] / 168) if len(hours) else 0.0, step * 60)


def _soft(
    values: npt.NDArray,
    times: Times,
    hours: npt.NDArray,
    step: float,
    budget: float,
    reports: Sequence[bool],
    checks: dict[str, dict[str, Quality]],
    why: dict[str, str],
    found: list[SeriesEvent],
    rows: npt.NDArray[np.int64],
) -> None:
    """The check against the series' own past, on a regular axis of the usual step."""
    at = np.round(hours / step).astype(np.int64)
    first = np.concatenate([[True], np.diff(at) > 0])
    regular = np.full((int(at[-1]) + 1, len(VARIABLES)), np.nan)
    regular[at[first]] = values[first]
    midnight = times[0].astype("datetime64[D]")
    start = float((times[0] - midnight).astype(np.float64) / 3600)
    judged = own_past.judge(regular, start, step, budget)
    for v, name in enumerate(VARIABLES):
        if not reports[v]:
            continue
        if judged is None or not np.isfinite(judged.ratio[:, v]).any():
            checks["own_past"][name] = Quality.NOT_CHECKED
            why[f"own_past of {name}"] = f"needs {own_past.MIN_DAYS} days of readings"
            continue
        ratio = np.where(first, judged.ratio[at, v], np.nan)
        flagged = ratio > 1

        def words(i: int, v: int = v) -> str:
            usual, unit = judged.expected[at[i], v], UNITS[VARIABLES[v]]
            return (
                f"{rules.name(v)} of {values[i, v]:.1f} {unit} is {abs(values[i, v] - usual):.1f} {unit} "
                f"{'above' if values[i, v] > usual else 'below'} what its own past lets one expect; at most "
                f"{judged.allowed[at[i], v]:.1f} {unit} is usual at this time of the day"
            )

        checks["own_past"][name] = Quality.FAILED if flagged.any() else Quality.OK
        severity = ratio**2 / (1 + ratio**2)
        found.extend(_events("own_past", name, flagged, severity, times, rows, words))


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
