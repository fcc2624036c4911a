"""The replay's calendar: which past time stands for now."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weatherglass.history.sources.calendar import ReplayCalendar, excluded_stretches
from weatherglass.settings import Settings, Source

BUNDLED = ReplayCalendar(datetime(2013, 1, 1, 6, tzinfo=UTC), datetime(2013, 12, 30, 23, tzinfo=UTC))
LONG = ReplayCalendar(datetime(2012, 10, 3, tzinfo=UTC), datetime(2016, 11, 30, 23, tzinfo=UTC))
ANY_TIME = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))


@given(ANY_TIME, st.sampled_from([BUNDLED, LONG]))
def test_the_shown_time_is_in_the_data_and_keeps_the_time_of_day(now: datetime, calendar: ReplayCalendar) -> None:
    shown = calendar.earlier(now)
    assert calendar.first <= shown < calendar.last + timedelta(hours=1)
    assert shown.timetz() == now.timetz()


@given(ANY_TIME, st.sampled_from([BUNDLED, LONG]))
def test_the_season_is_kept_within_two_days(now: datetime, calendar: ReplayCalendar) -> None:
    shown = calendar.earlier(now)
    day = now.timetuple().tm_yday - shown.timetuple().tm_yday
    assert min(abs(day), 366 - abs(day)) <= 2


@given(ANY_TIME)
def test_time_runs_on_wherever_the_same_date_exists(now: datetime) -> None:
    later = now + timedelta(minutes=15)
    dates = {(now.month, now.day), (later.month, later.day)}
    if dates & {(12, 30), (12, 31), (1, 1), (2, 28), (2, 29), (3, 1)}:
        return
    assert BUNDLED.earlier(later) - BUNDLED.earlier(now) == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        ("2026-07-14T12:15", "2013-07-14T12:15"),
        ("2028-02-29T12:00", "2013-02-28T12:00"),
        ("2026-12-31T12:00", "2013-12-30T12:00"),
        ("2027-01-01T03:00", "2013-01-02T03:00"),
        ("2027-01-01T06:00", "2013-01-01T06:00"),
    ],
)
def test_the_bundled_year(now: str, shown: str) -> None:
    assert BUNDLED.earlier(datetime.fromisoformat(now).replace(tzinfo=UTC)).strftime("%Y-%m-%dT%H:%M") == shown


def test_the_newest_year_that_has_the_date_is_shown() -> None:
    assert LONG.earlier(datetime(2026, 11, 30, 12, tzinfo=UTC)).year == 2016
    assert LONG.earlier(datetime(2026, 12, 1, 12, tzinfo=UTC)).year == 2015
    assert LONG.earlier(datetime(2028, 2, 29, 12, tzinfo=UTC)) == datetime(2016, 2, 29, 12, tzinfo=UTC)


def test_a_time_within_the_data_stands_for_itself() -> None:
    then = datetime(2014, 5, 6, 7, 45, tzinfo=UTC)
    assert LONG.earlier(then) == then


@given(ANY_TIME)
def test_what_is_replayed_is_left_out_with_ten_days_on_each_side(now: datetime) -> None:
    settings = Settings(source=Source.REPLAY)
    stretches = excluded_stretches_of(settings, now)
    for hours in range(-96, 168, 7):
        shown = BUNDLED.earlier(now + timedelta(hours=hours))
        for edge in (shown - timedelta(days=9, hours=23), shown + timedelta(days=9, hours=23)):
            assert any(start <= edge <= end for start, end in stretches)
    assert sum((end - start for start, end in stretches), timedelta()) <= timedelta(days=11 + 40)


def excluded_stretches_of(settings: Settings, now: datetime) -> tuple[tuple[datetime, datetime], ...]:
    with pytest.MonkeyPatch.context() as patch:  # reading the file for every example would take long
        patch.setattr("weatherglass.history.sources.calendar.replay_calendar", lambda _: BUNDLED)
        return excluded_stretches(settings, now)


def test_nothing_is_left_out_of_live_observations() -> None:
    assert excluded_stretches(Settings(source=Source.OPEN_METEO), datetime(2026, 7, 1, tzinfo=UTC)) == ()


def test_the_bundled_data_are_found() -> None:
    ((start, end),) = excluded_stretches(Settings(source=Source.REPLAY), datetime(2026, 7, 14, tzinfo=UTC))
    assert (start.year, start.month, end.month) == (2013, 6, 7)
