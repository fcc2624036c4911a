"""The replay calendar: which time of the data is shown."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weatherglass.history.sources.calendar import ReplayCalendar, excluded_periods
from weatherglass.settings import Settings, Source

BUNDLED = ReplayCalendar(datetime(2013, 1, 1, 7, tzinfo=UTC), datetime(2013, 12, 31, tzinfo=UTC))
LONG = ReplayCalendar(datetime(2012, 10, 3, tzinfo=UTC), datetime(2016, 11, 30, 23, tzinfo=UTC))
ANY_TIME = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))


@given(ANY_TIME, st.sampled_from([BUNDLED, LONG]))
def test_the_shown_time_is_in_the_data_and_keeps_the_time_of_day(now: datetime, calendar: ReplayCalendar) -> None:
    shown = calendar.data_time(now)
    assert calendar.first <= shown < calendar.last + timedelta(hours=1)
    assert shown.timetz() == now.timetz()


@given(ANY_TIME, st.sampled_from([BUNDLED, LONG]))
def test_the_season_is_kept_within_two_days(now: datetime, calendar: ReplayCalendar) -> None:
    shown = calendar.data_time(now)
    day = now.timetuple().tm_yday - shown.timetuple().tm_yday
    assert min(abs(day), 366 - abs(day)) <= 2


@given(ANY_TIME)
def test_the_shown_time_advances_like_real_time_if_the_date_exists(now: datetime) -> None:
    later = now + timedelta(minutes=15)
    dates = {(now.month, now.day), (later.month, later.day)}
    if dates & {(12, 30), (12, 31), (1, 1), (2, 28), (2, 29), (3, 1)}:
        return
    assert BUNDLED.data_time(later) - BUNDLED.data_time(now) == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        ("2026-07-14T12:15", "2013-07-14T12:15"),
        ("2028-02-29T12:00", "2013-02-28T12:00"),
        ("2026-12-31T12:00", "2013-12-30T12:00"),
        ("2027-01-01T03:00", "2013-01-02T03:00"),
        ("2027-01-01T07:00", "2013-01-01T07:00"),
    ],
)
def test_a_time_is_shown_as_the_same_or_the_nearest_day_of_the_bundled_year(now: str, shown: str) -> None:
    assert BUNDLED.data_time(datetime.fromisoformat(now).replace(tzinfo=UTC)).strftime("%Y-%m-%dT%H:%M") == shown


def test_the_latest_year_that_has_the_date_is_shown() -> None:
    assert LONG.data_time(datetime(2026, 11, 30, 12, tzinfo=UTC)).year == 2016
    assert LONG.data_time(datetime(2026, 12, 1, 12, tzinfo=UTC)).year == 2015
    assert LONG.data_time(datetime(2028, 2, 29, 12, tzinfo=UTC)) == datetime(2016, 2, 29, 12, tzinfo=UTC)


def test_a_time_inside_the_data_is_shown_as_itself() -> None:
    then = datetime(2014, 5, 6, 7, 45, tzinfo=UTC)
    assert LONG.data_time(then) == then


@given(ANY_TIME)
def test_the_replayed_period_is_excluded_with_ten_days_on_each_side(now: datetime) -> None:
    settings = Settings(source=Source.REPLAY)
    periods = bundled_excluded_periods(settings, now)
    for hours in range(-96, 168, 7):
        shown = BUNDLED.data_time(now + timedelta(hours=hours))
        for edge in (shown - timedelta(days=9, hours=23), shown + timedelta(days=9, hours=23)):
            assert any(start <= edge <= end for start, end in periods)
    assert sum((end - start for start, end in periods), timedelta()) <= timedelta(days=11 + 40)


def bundled_excluded_periods(settings: Settings, now: datetime) -> tuple[tuple[datetime, datetime], ...]:
    with pytest.MonkeyPatch.context() as patch:  # reading the file for every example is slow
        patch.setattr("weatherglass.history.sources.calendar.replay_calendar", lambda _: BUNDLED)
        return excluded_periods(settings, now)


def test_nothing_is_excluded_for_live_observations() -> None:
    assert excluded_periods(Settings(source=Source.OPEN_METEO), datetime(2026, 7, 1, tzinfo=UTC)) == ()


def test_the_period_is_taken_from_the_bundled_data() -> None:
    ((start, end),) = excluded_periods(Settings(source=Source.REPLAY), datetime(2026, 7, 14, tzinfo=UTC))
    assert (start.year, start.month, end.month) == (2013, 6, 7)
