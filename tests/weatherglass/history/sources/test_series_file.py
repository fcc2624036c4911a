"""Reading a station's file: what is certain is read, everything else is refused with line, column and code."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weatherglass.history.sources import text_table
from weatherglass.history.sources.refusal import Refusal, RefusalCode, RefusedError
from weatherglass.history.sources.series_file import Statements, StationSeries, read_series
from weatherglass.history.sources.series_times import TimeFormat
from weatherglass.records import VARIABLES

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOURS = [datetime(2021, 2, 20, tzinfo=UTC) + timedelta(hours=i) for i in range(24)]
NAMED = {
    "temperature": "temperature (°C)",
    "humidity": "humidity (%)",
    "pressure": "pressure (hPa)",
    "wind_speed": "wind_speed (m/s)",
}


def write(path: Path, *lines: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def hourly(path: Path, time_of: Callable[[datetime], str], header: str = "time", delimiter: str = ";") -> Path:
    """A file of 24 hours, the temperature is the hour of the day."""
    rows = [f"{time_of(time)}{delimiter}{i}.5" for i, time in enumerate(HOURS)]
    return write(path, f"{header}{delimiter}temperature (°C)", *rows)


def read(path: Path, stated: Statements | None = None) -> StationSeries:
    return read_series(path, NOW, stated)


def refusal_of(path: Path, stated: Statements | None = None) -> Refusal:
    with pytest.raises(RefusedError) as caught:
        read(path, stated)
    assert str(path) in str(caught.value)
    return caught.value.refusal


def seconds(times: list[datetime]) -> np.ndarray:
    return np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], dtype="datetime64[s]")


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


UNITS = {
    "temperature": {"°C": lambda v: v, "*C": lambda v: v, "deg F": lambda v: v * 1.8 + 32, "K": lambda v: v + 273.15},
    "humidity": {"%": lambda v: v, "percent": lambda v: v, "fraction": lambda v: v / 100},
    "pressure": {
        "hPa": lambda v: v,
        "mbar": lambda v: v,
        "Pa": lambda v: v * 100,
        "kPa": lambda v: v / 10,
        "inHg": lambda v: v / 33.86389,
        "mm Hg": lambda v: v / 1.333224,
    },
    "wind_speed": {
        "m/s": lambda v: v,
        "m s-1": lambda v: v,
        "km/h": lambda v: v * 3.6,
        "mph": lambda v: v * 3600 / 1609.344,
        "kt": lambda v: v * 3600 / 1852,
        "knots": lambda v: v * 3600 / 1852,
    },
}
DECIMALS: dict[str, Callable[[float], str]] = {
    "point": lambda v: f"{v:.4f}",
    "comma": lambda v: f"{v:.4f}".replace(".", ","),
    "grouped, point": lambda v: f"{v:,.4f}",
    "grouped, comma": lambda v: f"{v:,.4f}".translate({44: ".", 46: ","}),
    "spaces, comma": lambda v: f"{v:,.4f}".translate({44: "\u202f", 46: ","}),
}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_series_in_any_certain_notation_gives_the_same_values(tmp_path: Path, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = np.column_stack(
        [rng.uniform(-40, 45, 30), rng.uniform(2, 100, 30), rng.uniform(600, 1080, 30), rng.uniform(0, 40, 30)]
    )
    missing = rng.random(values.shape) < 0.2
    units = [data.draw(st.sampled_from(list(UNITS[name])), label=name) for name in VARIABLES]
    decimal = DECIMALS[data.draw(st.sampled_from(list(DECIMALS)), label="decimals")]
    mark = data.draw(st.sampled_from(["", "NA", "nan", "---", "M", "-999", "-9999.0", "null"]), label="missing")
    delimiter = data.draw(st.sampled_from([",", ";", "\t", "|"]), label="delimiter")
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]), label="encoding")
    in_row = data.draw(st.booleans(), label="unit row")
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]), label="line end")
    if encoding == "cp1252" and decimal is DECIMALS["spaces, comma"]:
        encoding = "utf-8"
    text = io.StringIO()
    rows = csv.writer(text, delimiter=delimiter, lineterminator=end)
    rows.writerow(
        ["Timestamp", *(name if in_row else f"{name} ({unit})" for name, unit in zip(VARIABLES, units, strict=True))]
    )
    if in_row:
        rows.writerow(["", *units])
    for i, reading in enumerate(values):
        cells = [
            mark if missing[i, v] else decimal(UNITS[VARIABLES[v]][units[v]](value)) for v, value in enumerate(reading)
        ]
        rows.writerow([f"2021-02-20T{i % 24:02d}:{i:02d}:00Z", *cells])
    file = tmp_path / "s.csv"
    file.write_bytes(text.getvalue().encode(encoding))
    series = read(file)
    assert series.refused == series.skipped == ()
    np.testing.assert_allclose(series.values, np.where(missing, np.nan, values), atol=0.01)


@pytest.mark.parametrize(
    ("column", "cells", "code", "line"),
    [
        ("temperature", ["15.2", "16"], RefusalCode.UNIT_MISSING, 1),
        ("wind_speed", ["3.2", "4"], RefusalCode.UNIT_MISSING, 1),
        ("pressure", ["760", "761"], RefusalCode.UNIT_MISSING, 1),
        ("temperature (furlongs)", ["15.2", "16"], RefusalCode.UNIT_UNKNOWN, 1),
        ("temperature (%)", ["15.2", "16"], RefusalCode.UNIT_UNKNOWN, 1),
        ("pressure (hPa)", ["980", "1,013"], RefusalCode.DECIMAL_MARK, 3),
        ("temperature (°C)", ["12", "warm"], RefusalCode.NUMBER, 3),
        ("temperature (°C)", ["1_2", "0x1F"], RefusalCode.NUMBER, 2),
        ("temperature (°C)", ["12..5", "1,2,3"], RefusalCode.NUMBER, 2),
    ],
)
def test_a_column_that_is_not_certain_is_refused(
    path: Path, column: str, cells: list[str], code: RefusalCode, line: int
) -> None:
    rows = [f"2021-02-20T0{i}:00Z;{cell};40" for i, cell in enumerate(cells)]
    file = write(path, f"time;{column};rh (%)", *rows)
    series = read(file)
    [refusal] = series.refused
    assert (refusal.code, refusal.line, refusal.column) == (code, line, column)
    np.testing.assert_array_equal(series.values[:, 1], [40, 40])
    assert np.isnan(np.delete(series.values, 1, axis=1)).all()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("pressure", 1013.2, 1013.2),
        ("pressure", 29.92, 1013.2),
        ("pressure", 101320, 1013.2),
        ("temperature", 288.15, 15.0),
        ("humidity", 55, 55),
        ("humidity", 0.55, 55),
        ("tmpf", 59.0, 15.0),
        ("TT_10", 15.0, 15.0),
        ("temp_f", 59.0, 15.0),
        ("Pressure hPa", 1013.2, 1013.2),
        ("sknt", 10, 5.144),
    ],
)
def test_a_unit_is_certain_if_only_one_is_possible_or_the_name_fixes_it(
    path: Path, name: str, value: float, expected: float
) -> None:
    series = read(write(path, f"time,{name}", *(f"2021-02-20T0{i}:00Z,{value}" for i in range(3))))
    assert np.nanmax(series.values[0]) == pytest.approx(expected, abs=0.05)


def test_the_user_states_a_missing_unit_but_cannot_contradict_the_file(path: Path) -> None:
    file = write(path, "time,temperature,wind_speed (m/s)", "2021-02-20T00:00Z,50,3", "2021-02-20T01:00Z,68,3")
    series = read(file, Statements(units={"temperature": "F"}))
    np.testing.assert_allclose(series.values[:, 0], [10, 20])
    series = read(file, Statements(units={"temperature": "F", "wind_speed": "mph"}))
    [refusal] = series.refused
    assert (refusal.code, refusal.column) == (RefusalCode.UNIT_CONFLICT, "wind_speed (m/s)")


def test_header_and_unit_row_must_agree(path: Path) -> None:
    file = write(path, "time,temp (C),rh", ",degF,%", "2021-02-20T00:00Z,50,3", "2021-02-20T01:00Z,68,3")
    [refusal] = read(file).refused
    assert (refusal.code, refusal.line, refusal.column) == (RefusalCode.UNIT_CONFLICT, 2, "temp (C)")


def test_several_columns_of_a_variable_are_refused_except_pressure_at_sea_level(path: Path) -> None:
    header = "time,temp (C),temperature (C),pressure_msl (hPa),surface_pressure (hPa)"
    series = read(write(path, header, "2021-02-20T00:00Z,1,2,1013,990", "2021-02-20T01:00Z,1,2,1013,990"))
    [refusal] = series.refused
    assert (refusal.code, refusal.line, refusal.column) == (RefusalCode.DUPLICATE_COLUMN, 1, "temperature (C)")
    np.testing.assert_array_equal(series.values[:, 2], [990, 990])


@pytest.mark.parametrize(
    ("lines", "code", "line"),
    [
        (["when,temperature", "1,2"], RefusalCode.NO_HEADER, 1),
        (["", "time,x", "2020-01-01,2"], RefusalCode.NO_HEADER, 2),
        (["2021 02 20 00    10 -9999 10005"], RefusalCode.NO_HEADER, 1),
        ([""], RefusalCode.NO_HEADER, None),
        (["time,temp (C)"], RefusalCode.NO_READINGS, 1),
        (["time,temp (C),station_id", "2020-01-01Z,2,a", "2020-01-02Z,2,b"], RefusalCode.SEVERAL_STATIONS, 3),
        (["time,temp (C)", "2021-02-20T00:00Z,12,5", "2021-02-20T01:00Z,12,6"], RefusalCode.FIELD_COUNT, 2),
    ],
)
def test_a_file_of_another_layout_is_refused(path: Path, lines: list[str], code: RefusalCode, line: int | None) -> None:
    refusal = refusal_of(write(path, *lines))
    assert (refusal.code, refusal.line) == (code, line)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04rest", b"\x1f\x8brest", "time,temp (C)\n2020-01-01T00Z,1\n".encode("utf-16-le")]
)
def test_a_file_that_is_no_text_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert refusal_of(path).code == RefusalCode.UNREADABLE


def test_a_file_that_would_fill_the_memory_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_table, "MAX_BYTES", 100)
    assert refusal_of(hourly(path, lambda t: t.isoformat())).code == RefusalCode.UNREADABLE


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.csv", tmp_path, tmp_path / "none.parquet"):
        assert refusal_of(missing).code == RefusalCode.UNREADABLE


DAMAGES = {
    "too many fields": ("2021-02-22T00:00Z,1,2,3,4", RefusalCode.FIELD_COUNT, None),
    "cut off": ("2021-02-22T0", RefusalCode.FIELD_COUNT, None),
    "open quote": ('2021-02-22T00:00Z,"1,2', RefusalCode.FIELD_COUNT, None),
    "zero bytes": ("2021-02-22T00:00Z,1\0\0,2", RefusalCode.FIELD_COUNT, None),
    "no time": (",warm,x", RefusalCode.TIME_FORMAT, None),
    "impossible date": ("2021-02-30T00:00Z,1,2", RefusalCode.TIME_FORMAT, None),
    "year 1800": ("1800-02-20T00:00Z,1,2", RefusalCode.TIME_FORMAT, None),
    "year 2250": ("2250-02-20T00:00Z,1,2", RefusalCode.TIME_FORMAT, None),
    "no zone": ("2021-02-22T00:00,1,2", RefusalCode.TIME_ZONE, None),
    "no time of day": ("2021-02-22Z,1,2", RefusalCode.TIME_OF_DAY, None),
    "no number": ("2021-02-22T00:00Z,warm,2", RefusalCode.NUMBER, "temp (C)"),
    "no finite number": ("2021-02-22T00:00Z,1,1e999", RefusalCode.NUMBER, "rh"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("at", [0, 37, 99])
def test_a_damaged_line_costs_only_itself(path: Path, damage: str, at: int) -> None:
    line, code, column = DAMAGES[damage]
    rows = [f"2021-02-{20 + i // 24}T{i % 24:02d}:00Z,{i},50" for i in range(100)]
    whole = read(write(path, "# logger 7", "time,temp (C),rh", *rows))
    series = read(write(path, "# logger 7", "time,temp (C),rh", *rows[:at], line, *rows[at:]))
    [skipped] = series.skipped
    assert (skipped.code, skipped.count, skipped.lines, skipped.column) == (code, 1, (at + 3,), column)
    kept = series.lines != at + 3
    np.testing.assert_array_equal(series.times[kept], whole.times)
    np.testing.assert_array_equal(series.values[kept], whole.values)


def test_a_damaged_byte_changes_no_other_line(path: Path) -> None:
    rows = [f"2021-02-20T{i:02d}:00Z,{i}".encode() for i in range(20)]
    path.write_bytes(b"\n".join(["time,temp (°C)".encode(), *rows, b"\xff\xfe,1"]))
    series = read(path)
    assert len(series.times) == 20
    assert [(skipped.code, skipped.lines) for skipped in series.skipped] == [(RefusalCode.TIME_FORMAT, (22,))]


def test_many_unreadable_lines_refuse_the_file(path: Path) -> None:
    rows = [f"2021-02-20T{i:02d}:00Z,{i}" for i in range(20)]
    assert refusal_of(write(path, "time,temp (C)", *rows, *["yesterday,1"] * 3)).code == RefusalCode.TIME_FORMAT
    assert refusal_of(write(path, "time,temp (C)", *rows, *["x"] * 3)).code == RefusalCode.FIELD_COUNT


def test_parquet_is_read_by_the_same_rules(tmp_path: Path) -> None:
    file = tmp_path / "s.parquet"
    times = pd.DatetimeIndex([time.astimezone(CET) for time in HOURS])
    table = pd.DataFrame({"hour": times, "temperature": np.arange(24) + 0.25, "humidity": [None, *[50] * 23]})
    table.to_parquet(file)
    series = read(file, Statements(units={"temperature": "C"}))
    np.testing.assert_array_equal(series.times, seconds(HOURS))
    np.testing.assert_array_equal(series.values[:, 0], np.arange(24) + 0.25)
    assert np.isnan(series.values[0, 1])
    assert [refusal.code for refusal in read(file).refused] == [RefusalCode.UNIT_MISSING]
    table.assign(hour=times.tz_localize(None)).to_parquet(file)
    assert refusal_of(file, Statements(units={"temperature": "C"})).code == RefusalCode.TIME_ZONE
    file.write_bytes(b"PAR1 damaged")
    assert refusal_of(file).code == RefusalCode.UNREADABLE


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from(list('0123456789-:TZ .,;"\n\r\t|#%°CFKtemp')), max_size=200).map(
            lambda text: ("time,temperature (°C),rh\n2021-02-20T00:00Z,1,50\n" + "".join(text)).encode()
        ),
    )
)
def test_any_content_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "s.csv"
    file.write_bytes(content)
    with contextlib.suppress(RefusedError):
        series = read(file)
        assert len(series.times) == len(series.values) == len(series.lines)
        assert not np.isnat(series.times).any()


def test_the_station_in_strasbourg_is_read_like_an_independent_reader(test_data: Path) -> None:
    file = test_data / "strasbourg_station_2021.csv"
    series = read(file)
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    np.testing.assert_array_equal(
        series.times, np.array([int(row["timestamp"]) for row in rows]).astype("datetime64[s]")
    )
    expected = [[float(row[name] or "nan") for name in list(rows[0])[2:6]] for row in rows]
    np.testing.assert_allclose(series.values, np.array(expected) / [1, 1, 1, 3.6])
    assert series.skipped == series.refused == ()
