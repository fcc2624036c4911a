"""Times of a station's file: what is certain is read, everything else is refused with line, column and code."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.weatherglass.history.sources.station_files import HOURS, hourly, read, refusal_of, seconds, write
from weatherglass.history.sources.refusal import RefusalCode
from weatherglass.history.sources.series_file import Statements
from weatherglass.history.sources.series_times import TimeFormat


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.csv"


EXCEL_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
CET = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    "time_of",
    [
        lambda t: t.isoformat(),
        lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda t: t.strftime("%Y/%m/%d %H:%M UTC"),
        lambda t: t.astimezone(CET).strftime("%Y-%m-%d %H:%M+01"),
        lambda t: t.astimezone(CET).strftime("%Y-%m-%d %H:%M:%S.250 +0100"),
        lambda t: t.astimezone(CET).strftime("%d.%m.%Y %H:%M CET"),
        lambda t: t.astimezone(CET).strftime("%d.%m.%Y, %H:%M MEZ"),
        lambda t: t.astimezone(timezone(timedelta(hours=t.hour % 5 - 2))).isoformat(),
        lambda t: t.strftime("%d/%m/%Y %H:%M Z"),
        lambda t: t.strftime("%m/%d/%Y %I:%M %p GMT"),
        lambda t: t.strftime("%Y%m%d%HZ"),
        lambda t: t.strftime("%Y%m%d%H%MZ"),
        lambda t: t.strftime("%Y%m%dT%H%M%SZ"),
        lambda t: str(int(t.timestamp())),
        lambda t: str(int(t.timestamp() * 1000)),
    ],
)
def test_times_of_a_certain_format_and_zone_are_read(path: Path, time_of: Callable[[datetime], str]) -> None:
    series = read(hourly(path, time_of))
    np.testing.assert_array_equal(series.times, seconds(HOURS))
    np.testing.assert_array_equal(series.values[:, 0], np.arange(24) + 0.5)
    np.testing.assert_array_equal(series.lines, np.arange(2, 26))
    assert series.skipped == series.refused == ()


@pytest.mark.parametrize(
    ("time_format", "time_of"),
    [
        (TimeFormat.DAY_FIRST, lambda t: t.strftime("%d/%m/%Y %H:%M")),
        (TimeFormat.MONTH_FIRST, lambda t: t.strftime("%m/%d/%Y %H:%M")),
        (TimeFormat.DAY_FIRST_SHORT, lambda t: t.strftime("%d.%m.%y %H:%M")),
        (TimeFormat.MONTH_FIRST_SHORT, lambda t: f"{t:%m/%d/%y} {t.hour % 12 or 12}:00{'ap'[t.hour >= 12]}"),
        (TimeFormat.EXCEL_1900, lambda t: f"{(t - EXCEL_EPOCH) / timedelta(days=1):.6f}"),
        (TimeFormat.EXCEL_1904, lambda t: f"{(t - EXCEL_EPOCH) / timedelta(days=1) - 1462:.6f}".replace(".", ",")),
    ],
)
def test_a_stated_format_is_read(path: Path, time_format: TimeFormat, time_of: Callable[[datetime], str]) -> None:
    file = hourly(path, time_of)
    series = read(file, Statements(time_zone=UTC, time_format=time_format))
    np.testing.assert_array_equal(series.times, seconds(HOURS))


@pytest.mark.parametrize(
    ("time_of", "code"),
    [
        (lambda t: t.strftime("%Y-%m-%d %H:%M"), RefusalCode.TIME_ZONE),
        (lambda t: t.strftime("%Y-%m-%d %H:%M EST"), RefusalCode.TIME_ZONE),
        (lambda t: t.strftime("%Y-%m-%d %H:%M +15:00"), RefusalCode.TIME_ZONE),
        (lambda t: t.replace(day=5).strftime("%d/%m/%Y %H:%M Z"), RefusalCode.TIME_FORMAT_AMBIGUOUS),
        (lambda t: f"{(t - EXCEL_EPOCH) / timedelta(days=1):.6f}", RefusalCode.TIME_FORMAT),
        (lambda t: t.strftime("%d.%m.%y %H:%M Z"), RefusalCode.TIME_FORMAT),
        (lambda t: t.strftime("%H:%M Z"), RefusalCode.TIME_FORMAT),
        (lambda t: t.strftime("%d %b %Y %H:%M"), RefusalCode.TIME_FORMAT),
        (lambda t: str(1000 + t.hour), RefusalCode.TIME_FORMAT),
        (lambda t: "", RefusalCode.TIME_FORMAT),
    ],
)
def test_times_that_are_not_certain_are_refused(
    path: Path, time_of: Callable[[datetime], str], code: RefusalCode
) -> None:
    refusal = refusal_of(hourly(path, time_of))
    assert (refusal.code, refusal.line, refusal.column) == (code, 2, "time")


def test_a_repeated_date_without_time_of_day_is_refused_where_it_is_repeated(path: Path) -> None:
    refusal = refusal_of(hourly(path, lambda t: t.strftime("%Y%m%d"), header="time (UTC)"))
    assert (refusal.code, refusal.line, refusal.column) == (RefusalCode.TIME_OF_DAY, 3, "time (UTC)")


def test_daily_dates_are_midnight(path: Path) -> None:
    series = read(write(path, "date (UTC),temperature (°C)", "20210220,1", "20210221,2"))
    np.testing.assert_array_equal(series.times, np.array(["2021-02-20", "2021-02-21"], "datetime64[s]"))


def test_three_days_after_the_twelfth_make_the_order_certain_but_two_may_be_damaged(path: Path) -> None:
    first = [f"0{day}/02/2021 12:00,1" for day in range(1, 10)]
    two = write(path, "time (UTC),temperature (°C)", *first, "13/02/2021 12:00,1", "14/02/2021 12:00,1")
    assert refusal_of(two).code == RefusalCode.TIME_FORMAT_AMBIGUOUS
    three = write(path, "time (UTC),temperature (°C)", *first, *(f"{day}/02/2021 12:00,1" for day in (13, 14, 15)))
    assert read(three).times[-1] == np.datetime64("2021-02-15T12:00:00")


@pytest.mark.parametrize(
    "header", ["time (UTC)", "time [GMT]", "time_utc", "Date Time, GMT+00:00", "valid(UTC)", "Timestamp (+00:00)"]
)
def test_the_header_states_the_zone(path: Path, header: str) -> None:
    row = [header, "temperature (°C)"]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([row, *([f"{t:%Y-%m-%d %H:%M}", 1.5] for t in HOURS)])
    path.write_text(text.getvalue())
    np.testing.assert_array_equal(read(path).times, seconds(HOURS))


def test_the_user_cannot_contradict_the_zone_of_the_header(path: Path) -> None:
    file = hourly(path, lambda t: t.strftime("%Y-%m-%d %H:%M"), header="time (UTC)")
    assert len(read(file, Statements(time_zone=UTC)).times) == 24
    refusal = refusal_of(file, PARIS)
    assert (refusal.code, refusal.line, refusal.column) == (RefusalCode.TIME_ZONE, 1, "time (UTC)")


def test_an_abbreviation_in_the_header_is_not_certain(path: Path) -> None:
    file = hourly(path, lambda t: t.strftime("%Y-%m-%d %H:%M"), header="time (CET)")
    assert refusal_of(file).code == RefusalCode.TIME_ZONE


PARIS = Statements(time_zone=ZoneInfo("Europe/Paris"))


def test_local_times_follow_the_stated_zone_and_unclear_ones_are_skipped(path: Path) -> None:
    spring = [f"2021-03-{28 - (i < 20)} {(i + 4) % 24:02d}:30,1" for i in range(40)]  # 02:30 on the 28th does not exist
    autumn = [f"2021-10-{31 - (i < 20)} {(i + 4) % 24:02d}:30,1" for i in range(40)]  # 02:30 on the 31st occurs twice
    series = read(write(path, "time,temperature (°C)", *spring, *autumn), PARIS)
    [skipped] = series.skipped
    assert (skipped.code, skipped.count, skipped.lines) == (RefusalCode.LOCAL_TIME, 2, (24, 64))
    naive = [datetime.fromisoformat(line.split(",")[0]) for line in spring + autumn if "31 02" not in line]
    expected = [
        time.replace(tzinfo=PARIS.time_zone) for time in naive if (time.month, time.day, time.hour) != (3, 28, 2)
    ]
    np.testing.assert_array_equal(series.times, seconds(expected))


def test_an_abbreviation_of_the_stated_zone_tells_the_repeated_hour(path: Path) -> None:
    zone = ZoneInfo("America/New_York")
    times = [datetime(2021, 11, 7, tzinfo=UTC) + timedelta(minutes=30 * i) for i in range(24)]
    rows = [f"{time.astimezone(zone):%Y-%m-%d %H:%M %Z},1" for time in times]
    series = read(write(path, "time,temperature (°C)", *rows), Statements(time_zone=zone))
    np.testing.assert_array_equal(series.times, seconds(times))
    wrong = write(path, "time,temperature (°C)", *(row.replace("EDT", "CST").replace("EST", "CST") for row in rows))
    assert refusal_of(wrong, Statements(time_zone=zone)).code == RefusalCode.TIME_ZONE


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("date,time", "{:%d.%m.%Y},{:%H:%M}"),
        ("Date,Time", "{:%Y-%m-%d},{:%H:%M:%S}"),
        ("date,hour", "{:%Y%m%d},{:%H}"),
        ("time,date", "{0:%H:%M},{0:%Y/%m/%d}"),
    ],
)
def test_a_date_and_a_time_of_day_in_two_columns_are_joined(path: Path, header: str, row: str) -> None:
    rows = [f"{row.format(time, time)},1" for time in HOURS]
    series = read(write(path, f"{header},temperature (°C)", *rows), Statements(time_zone=UTC))
    np.testing.assert_array_equal(series.times, seconds(HOURS))
    assert series.unused_columns == ()


def test_24_hours_is_the_end_of_the_day(path: Path) -> None:
    series = read(write(path, "time,temperature (°C)", "2021-02-28 23:00Z,1", "2021-02-28 24:00Z,2"))
    assert series.times[1] == np.datetime64("2021-03-01T00:00:00")
