"""Reading a station's file: what is certain is read, everything else is refused with line, column and code."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.weatherglass.history.sources.station_files import HOURS, hourly, read, refusal_of, seconds, write
from weatherglass.history.sources import text_table
from weatherglass.history.sources.refusal import RefusalCode, RefusedError
from weatherglass.history.sources.series_file import Statements
from weatherglass.records import VARIABLES

NAMED = {
    "temperature": "temperature (°C)",
    "humidity": "humidity (%)",
    "pressure": "pressure (hPa)",
    "wind_speed": "wind_speed (m/s)",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.csv"


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
    ("median", "percent"),
    [("0.014", None), ("0.02", 2.0), ("1.05", 105.0), ("1.4", None), ("1.5", 1.5), ("110", 110.0), ("111", None)],
)
def test_a_humidity_without_a_unit_is_read_if_its_median_is_possible_in_one_unit_only(
    path: Path, median: str, percent: float | None
) -> None:
    path.write_text(
        "\n".join(["time,temperature (C),humidity", *(f"2023-05-01T0{hour}:00Z,15,{median}" for hour in range(3))])
    )
    series = read(path)
    if percent is None:
        assert [(refusal.code, refusal.column) for refusal in series.refused] == [
            (RefusalCode.UNIT_MISSING, "humidity")
        ]
        assert np.isnan(series.values[:, 1]).all()
    else:
        assert not series.refused
        np.testing.assert_allclose(series.values[:, 1], percent)


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
def test_a_file_that_is_not_text_is_refused(path: Path, content: bytes) -> None:
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
def test_a_damaged_line_affects_only_itself(path: Path, damage: str, at: int) -> None:
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
    times = pd.DatetimeIndex([time.astimezone(timezone(timedelta(hours=1))) for time in HOURS])
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
