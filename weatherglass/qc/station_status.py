"""The status of a station on a day: received and expected observations, timeliness, failed checks, silences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

from weatherglass.record_headers import Origin

SILENT_INTERVALS = 3.0
"""A station is silent after this many of its usual intervals without an observation."""
LATE_INTERVALS = 2.0
"""An observation is late if it arrives more than this many usual intervals after its time."""
MIN_STEPS = 3
"""Steps between observations that are needed to determine the usual interval."""
REPORT_INTERVAL = timedelta(hours=1)
"""Interval of the routine reports of airports."""
UNKNOWN_INTERVAL = timedelta(hours=1)
"""Interval of a station whose usual interval is not known."""


class Status(StrEnum):
    UP = "up"
    LATE = "late"
    SUSPECT = "suspect"
    """A check of the reading failed."""
    SILENT = "silent"


@dataclass(frozen=True)
class ReceivedReading:
    """An observation: its time, its arrival, whether it passed each check that was applied, and its source."""

    time: datetime
    arrived: datetime
    passed: dict[str, bool] = field(default_factory=dict)
    source: Origin | None = None


@dataclass(frozen=True)
class StatusPeriod:
    """A status and its period [start, end)."""

    status: Status
    start: datetime
    end: datetime


@dataclass(frozen=True)
class StationDay:
    """The summary of a station's UTC day; durations in seconds.

    Attributes:
        failed: check -> share of the checked readings that failed it.
        log: the periods of the day that were monitored.
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
        return sum((period.end - period.start).total_seconds() for period in self.log if period.status is status)

    @property
    def problem_share(self) -> float:
        """Share of the monitored time with a problem; late counts half."""
        whole = sum((period.end - period.start).total_seconds() for period in self.log) or 1.0
        bad = self.seconds(Status.SILENT) + self.seconds(Status.SUSPECT) + self.seconds(Status.LATE) / 2
        return bad / whole


def midnight(day: date) -> datetime:
    """Return the start of a UTC day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def station_day(
    station_id: str, day: date, readings: Sequence[ReceivedReading], now: datetime, monitored_since: datetime
) -> StationDay:
    """Summarize a UTC day of a station, up to `now` if the day is not over.

    Args:
        readings: of the day and of the day before, oldest first, with distinct times.
        monitored_since: when the pipeline received its first observation; before `now` and the end of the day.
            Earlier observations were fetched as history, so their arrival says nothing about the station.
    """
    start = max(midnight(day), monitored_since)
    end = min(midnight(day) + timedelta(days=1), now)
    before = [reading for reading in readings if reading.time < start]
    own = [reading for reading in readings if start <= reading.time < end]
    interval = _interval(own) or _interval(before) or UNKNOWN_INTERVAL
    delays = sorted((reading.arrived - reading.time).total_seconds() for reading in own)
    times = [start, *(reading.time for reading in own), end]
    return StationDay(
        station_id=station_id,
        day=day,
        expected=max(round((end - start) / interval), len(own)),
        received=len(own),
        interval_seconds=interval.total_seconds(),
        timeliness_median=median(delays) if delays else None,
        timeliness_p95=delays[int(len(delays) * 0.95)] if delays else None,
        longest_gap=max((later - earlier).total_seconds() for earlier, later in pairwise(times)),
        failed=_failed(own),
        log=_log(before[-1:] + own, start, end, interval),
    )


def usual_interval(times: Sequence[datetime], source: Origin | None) -> timedelta | None:
    """The median step between observations in order of time; None if there are too few.

    An airport adds special reports when the weather changes, so its interval is at least that of routine reports.
    """
    steps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    if len(steps) < MIN_STEPS:
        return None
    interval = timedelta(seconds=median(steps))
    return max(interval, REPORT_INTERVAL) if source is Origin.METAR else interval


def _interval(readings: Sequence[ReceivedReading]) -> timedelta | None:
    """The usual interval of the newest source; of a station with two sources on a day, it is the one to expect."""
    source = readings[-1].source if readings else None
    return usual_interval([reading.time for reading in readings if reading.source is source], source)


def _failed(readings: Sequence[ReceivedReading]) -> dict[str, float]:
    checked = Counter(check for reading in readings for check in reading.passed)
    failed = Counter(check for reading in readings for check, passed in reading.passed.items() if not passed)
    return {check: failed[check] / count for check, count in sorted(checked.items())}


def _log(
    readings: Sequence[ReceivedReading], start: datetime, end: datetime, interval: timedelta
) -> list[StatusPeriod]:
    """Return the periods: a reading counts until the next one or, before a silence, for one interval."""
    periods: list[StatusPeriod] = []
    first = readings[0].time if readings else end
    if first > start:
        status = Status.SILENT if first - start > SILENT_INTERVALS * interval else Status.UP
        periods.append(StatusPeriod(status, start, first))
    for reading, following in zip(readings, [*(later.time for later in readings[1:]), end], strict=False):
        if following - reading.time > SILENT_INTERVALS * interval:
            periods.append(StatusPeriod(_status(reading, interval), reading.time, reading.time + interval))
            periods.append(StatusPeriod(Status.SILENT, reading.time + interval, following))
        else:
            periods.append(StatusPeriod(_status(reading, interval), reading.time, following))
    return _merged(periods, start, end)


def _status(reading: ReceivedReading, interval: timedelta) -> Status:
    if not all(reading.passed.values()):
        return Status.SUSPECT
    return Status.LATE if reading.arrived - reading.time > LATE_INTERVALS * interval else Status.UP


def _merged(periods: Sequence[StatusPeriod], start: datetime, end: datetime) -> list[StatusPeriod]:
    """Cut the periods to [start, end) and merge adjacent periods of the same status."""
    merged: list[StatusPeriod] = []
    for period in periods:
        period = StatusPeriod(period.status, max(period.start, start), min(period.end, end))
        if period.end <= period.start:
            continue
        if merged and merged[-1].status is period.status:
            merged[-1] = StatusPeriod(period.status, merged[-1].start, period.end)
        else:
            merged.append(period)
    return merged
