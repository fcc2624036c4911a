"""How a station did on a day: what came of what was expected, how late, what failed, when it was silent. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

SILENT_AFTER = 3.0
"""Usual intervals without an observation from which on a station was silent."""
LATE_AFTER = 2.0
"""Usual intervals between an observation's time and its arrival from which on it was late."""
FEWEST_STEPS = 4
"""Steps between observations from which an interval can be told."""
HOUR = timedelta(hours=1)


class Status(StrEnum):
    UP = "up"
    LATE = "late"
    SUSPECT = "suspect"
    """A check of its reading failed."""
    SILENT = "silent"


@dataclass(frozen=True)
class ReceivedReading:
    """An observation: its own time, when it arrived, and how each check of it went (only those that were made)."""

    time: datetime
    arrived: datetime
    passed: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class StatusPeriod:
    """[start, end) of one status."""

    status: Status
    start: datetime
    end: datetime


@dataclass(frozen=True)
class StationDay:
    """Times in seconds. `failed`: share of the readings with that check that failed it.

    `log` covers the day as far as it was watched.
    """

    station_id: str
    day: date
    expected: int
    received: int
    interval_seconds: float
    timeliness_median: float | None
    timeliness_p95: float | None
    longest_gap: float
    failed: dict[str, float]
    log: list[StatusPeriod]

    def seconds(self, status: Status) -> float:
        return sum((part.end - part.start).total_seconds() for part in self.log if part.status is status)

    @property
    def badness(self) -> float:
        """Share of the day that a technician would like to know of; late counts half."""
        whole = sum((part.end - part.start).total_seconds() for part in self.log) or 1.0
        bad = self.seconds(Status.SILENT) + self.seconds(Status.SUSPECT) + self.seconds(Status.LATE) / 2
        return bad / whole


def midnight(day: date) -> datetime:
    """The beginning of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def station_day(
    station_id: str, day: date, readings: Sequence[ReceivedReading], now: datetime, watched_since: datetime
) -> StationDay:
    """How a station did on a UTC day, up to now if that is not over.

    Args:
        readings: those of the day and of the day before it, oldest first, one a time.
        watched_since: when the pipeline first heard anything, before `now` and the day's end. What was observed before
            was fetched as the past, which tells nothing of how the station sends.
    """
    start = max(midnight(day), watched_since)
    end = min(midnight(day) + timedelta(days=1), now)
    before = [reading for reading in readings if reading.time < start]
    own = [reading for reading in readings if start <= reading.time < end]
    interval = _interval(own) or _interval(before) or HOUR
    delays = sorted((reading.arrived - reading.time).total_seconds() for reading in own)
    times = [start, *(reading.time for reading in own), end]
    return StationDay(
        station_id=station_id,
        day=day,
        expected=max(round((end - start) / interval), len(own)),
        received=len(own),
        interval_seconds=interval.total_seconds(),
        timeliness_median=median(delays) if delays else None,
        timeliness_p95=delays[min(int(len(delays) * 0.95), len(delays) - 1)] if delays else None,
        longest_gap=max((later - earlier).total_seconds() for earlier, later in pairwise(times)),
        failed=_failed(own),
        log=_log(before[-1:] + own, start, end, interval),
    )


def _interval(readings: Sequence[ReceivedReading]) -> timedelta | None:
    steps = [(later.time - earlier.time).total_seconds() for earlier, later in pairwise(readings)]
    return timedelta(seconds=median(steps)) if len(steps) >= FEWEST_STEPS else None


def _failed(readings: Sequence[ReceivedReading]) -> dict[str, float]:
    made = Counter(check for reading in readings for check in reading.passed)
    failed = Counter(check for reading in readings for check, passed in reading.passed.items() if not passed)
    return {check: failed[check] / count for check, count in sorted(made.items())}


def _log(
    readings: Sequence[ReceivedReading], start: datetime, end: datetime, interval: timedelta
) -> list[StatusPeriod]:
    """Each reading stands for the time up to the next one, or, before a silence, for one interval."""
    parts: list[StatusPeriod] = []
    first = readings[0].time if readings else end
    if first > start:
        status = Status.SILENT if first - start > SILENT_AFTER * interval else Status.UP
        parts.append(StatusPeriod(status, start, first))
    for reading, following in zip(readings, [*(later.time for later in readings[1:]), end], strict=False):
        if following - reading.time > SILENT_AFTER * interval:
            parts.append(StatusPeriod(_status(reading, interval), reading.time, reading.time + interval))
            parts.append(StatusPeriod(Status.SILENT, reading.time + interval, following))
        else:
            parts.append(StatusPeriod(_status(reading, interval), reading.time, following))
    return _joined(parts, start, end)


def _status(reading: ReceivedReading, interval: timedelta) -> Status:
    if not all(reading.passed.values()):
        return Status.SUSPECT
    return Status.LATE if reading.arrived - reading.time > LATE_AFTER * interval else Status.UP


def _joined(parts: Sequence[StatusPeriod], start: datetime, end: datetime) -> list[StatusPeriod]:
    """Cut to [start, end), neighbours of one status made one."""
    joined: list[StatusPeriod] = []
    for part in parts:
        part = StatusPeriod(part.status, max(part.start, start), min(part.end, end))
        if part.end <= part.start:
            continue
        if joined and joined[-1].status is part.status:
            joined[-1] = StatusPeriod(part.status, joined[-1].start, part.end)
        else:
            joined.append(part)
    return joined
