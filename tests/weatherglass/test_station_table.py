"""The station table: what is accepted, and what is refused with line, column and code."""

from __future__ import annotations

import csv
import io
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from weatherglass.record_headers import Origin
from weatherglass.station_problems import StationProblemCode, StationsError
from weatherglass.station_table import (
    COLUMNS,
    STATION_ID,
    Network,
    Station,
    current_versions,
    read_station_versions,
    read_stations_csv,
)

HEADER = "station_id,name,country,latitude,longitude,elevation,timezone,networks,sources,metar_id"
"""Without the column `since`, which may be missing."""
DENVER = "denver,Denver,United States,39.7392,-104.9847,1609,America/Denver,kaggle,metar open-meteo,KBKF"
HAIFA = "haifa,Haifa,Israel,32.8156,34.9892,,Asia/Jerusalem,,,"
FIELDS = dict(zip(HEADER.split(","), DENVER.split(","), strict=True))
SPRING, AUTUMN = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
Found = tuple[int | None, str | None, StationProblemCode]


def problems(folder: Path, content: str | bytes) -> list[Found]:
    """Line, column and code of each problem; none if the file is accepted."""
    file = folder / "stations.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    error = refusal(file)
    if error is None:
        return []
    assert error.file == file
    assert all(problem.allowed for problem in error.problems)
    return [(problem.line, problem.column, problem.code) for problem in error.problems]


def refusal(file: Path) -> StationsError | None:
    try:
        read_stations_csv(file)
    except StationsError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("latitude", "151.2", StationProblemCode.RANGE),
        ("latitude", "-90.001", StationProblemCode.RANGE),
        ("latitude", '"39,7392"', StationProblemCode.NUMBER),
        ("latitude", "nan", StationProblemCode.NUMBER),
        ("latitude", "inf", StationProblemCode.NUMBER),
        ("latitude", "1_0", StationProblemCode.NUMBER),
        ("latitude", "４０", StationProblemCode.NUMBER),
        ("latitude", "39°44'", StationProblemCode.NUMBER),
        ("latitude", "", StationProblemCode.NUMBER),
        ("longitude", "255.0153", StationProblemCode.RANGE),
        ("longitude", "-180.5", StationProblemCode.RANGE),
        ("longitude", "9" * 400, StationProblemCode.RANGE),
        ("elevation", "-999", StationProblemCode.RANGE),
        ("elevation", "-9999.0", StationProblemCode.RANGE),
        ("elevation", "99999", StationProblemCode.RANGE),
        ("elevation", "nan", StationProblemCode.NUMBER),
        ("elevation", "1609 m", StationProblemCode.NUMBER),
        ("timezone", "America/Denwer", StationProblemCode.TIME_ZONE),
        ("timezone", "America", StationProblemCode.TIME_ZONE),
        ("timezone", "../../etc/localtime", StationProblemCode.TIME_ZONE),
        ("timezone", "/usr/share/zoneinfo/UTC", StationProblemCode.TIME_ZONE),
        ("timezone", "posix/America/Denver", StationProblemCode.TIME_ZONE),
        ("timezone", "localtime", StationProblemCode.TIME_ZONE),
        ("timezone", "Factory", StationProblemCode.TIME_ZONE),
        ("timezone", "UTC+2", StationProblemCode.TIME_ZONE),
        ("timezone", "", StationProblemCode.TIME_ZONE),
        ("station_id", "Denver", StationProblemCode.STATION_ID),
        ("station_id", "den/ver", StationProblemCode.STATION_ID),
        ("station_id", "den ver", StationProblemCode.STATION_ID),
        ("station_id", ".", StationProblemCode.STATION_ID),
        ("station_id", "..", StationProblemCode.STATION_ID),
        ("station_id", "-denver", StationProblemCode.STATION_ID),
        ("station_id", "denver%2f", StationProblemCode.STATION_ID),
        ("station_id", "denver|2", StationProblemCode.STATION_ID),
        ("station_id", "zürich", StationProblemCode.STATION_ID),
        ("station_id", "d" * 101, StationProblemCode.STATION_ID),
        ("station_id", "", StationProblemCode.STATION_ID),
        ("station_id", "den\tver", StationProblemCode.CHARACTER),
        ("station_id", "denver\t", StationProblemCode.CHARACTER),
        ("station_id", "den\x00ver", StationProblemCode.CHARACTER),
        ("name", "Den\x1bver", StationProblemCode.CHARACTER),
        ("name", "Den\u202ever", StationProblemCode.CHARACTER),
        ("name", "", StationProblemCode.LENGTH),
        ("name", "D" * 101, StationProblemCode.LENGTH),
        ("country", "U" * 101, StationProblemCode.LENGTH),
        ("networks", "kaggle,", None),
        ("networks", "kaggle;nycflights13", StationProblemCode.NETWORK),
        ("networks", "open-meteo", StationProblemCode.NETWORK),
        ("networks", "nycflights13", StationProblemCode.NETWORK),
        ("sources", "kaggle", StationProblemCode.SOURCE),
        ("sources", "replay", StationProblemCode.SOURCE),
        ("sources", "metar metar", StationProblemCode.SOURCE),
        ("sources", "metar;open-meteo", StationProblemCode.SOURCE),
        ("metar_id", "DEN", StationProblemCode.METAR_ID),
        ("metar_id", "kbkf", StationProblemCode.METAR_ID),
        ("metar_id", "", StationProblemCode.METAR_ID),
    ],
)
def test_a_refused_value_is_named_with_line_column_and_code(
    tmp_path: Path, column: str, value: str, code: StationProblemCode | None
) -> None:
    line = ",".join((FIELDS | {column: value}).values())
    expected = (3, column, code) if code else (3, None, StationProblemCode.FIELD_COUNT)
    assert problems(tmp_path, f"{HEADER}\n{HAIFA}\n{line}\n") == [expected]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", [(None, None, StationProblemCode.EMPTY)]),
        ("\ufeff\n\n", [(None, None, StationProblemCode.EMPTY)]),
        (f"{HEADER}\n", [(None, None, StationProblemCode.EMPTY)]),
        (DENVER, [(1, None, StationProblemCode.HEADER)]),
        (f"{HEADER}\n{DENVER}\n".replace(",", ";"), [(1, None, StationProblemCode.SEPARATOR)]),
        (f"{HEADER}\n{DENVER}\n".replace(",", "\t"), [(1, None, StationProblemCode.SEPARATOR)]),
        (f"{HEADER}\ndenver,Denver,USA,39,7392,-104,9847,1609,UTC,,,\n", [(2, None, StationProblemCode.FIELD_COUNT)]),
        (f"{HEADER}\n{HAIFA}\ndenver,Denver\n{DENVER}", [(3, None, StationProblemCode.FIELD_COUNT)]),
        (f"{HEADER}\n{DENVER}\n{HAIFA}\n{DENVER}\n", [(4, "station_id", StationProblemCode.REPEATED_ID)]),
        (f"{HEADER}\n{DENVER}\nD{DENVER[1:]}\n", [(3, "station_id", StationProblemCode.STATION_ID)]),
        (f'{HEADER}\n"{DENVER}\n{HAIFA}\n', [(2, None, StationProblemCode.QUOTES)]),
        (f'{HEADER}\n"den"ver{DENVER[6:]}\n', [(2, None, StationProblemCode.QUOTES)]),
        (f"{HEADER},note\n{DENVER},\n", [(1, "note", StationProblemCode.UNKNOWN_COLUMN)]),
        (f"{HEADER},name\n{DENVER},D\n", [(1, "name", StationProblemCode.REPEATED_COLUMN)]),
        (
            f"{HEADER}\n{DENVER}\n".replace("latitude", "lat").replace("39.7", "99.7"),
            [(1, "latitude", StationProblemCode.MISSING_COLUMN), (1, "lat", StationProblemCode.UNKNOWN_COLUMN)],
        ),
        (
            f"{HEADER}\n{HAIFA.replace('Israel', 'Israël')}\n{DENVER}\n".encode("cp1252"),
            [(2, None, StationProblemCode.ENCODING)],
        ),
    ],
    ids=[
        "no byte",
        "no text",
        "only a header",
        "no header",
        "semicolons",
        "tabs",
        "decimal commas",
        "short line",
        "repeated id",
        "ids that differ in case",
        "open quote",
        "text after a quote",
        "further column",
        "column twice",
        "renamed column",
        "cp1252",
    ],
)
def test_a_refused_file_is_named_with_line_and_code(
    tmp_path: Path, content: str | bytes, expected: list[Found]
) -> None:
    assert problems(tmp_path, content) == expected


@pytest.mark.parametrize(
    "since",
    [
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00:00+01:00",
        "2026-03-01T12:00:00+00:00",
        "2026-03-01 12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "0000-03-01T12:00:00Z",
        "01.03.2026",
        "now",
    ],
)
def test_a_time_that_is_unreadable_or_without_utc_is_refused(tmp_path: Path, since: str) -> None:
    content = f"{HEADER},since\n{DENVER},\n{HAIFA},{since}\n"
    assert problems(tmp_path, content) == [(3, "since", StationProblemCode.TIME)]


def test_versions_of_a_station_have_different_times(tmp_path: Path) -> None:
    moved = f"{DENVER},2026-03-01T12:00Z"
    assert problems(tmp_path, f"{HEADER},since\n{DENVER},\n{moved}\n") == []
    again = (4, "station_id", StationProblemCode.REPEATED_ID)
    assert problems(tmp_path, f"{HEADER},since\n{HAIFA},\n{moved}\n{DENVER},2026-03-01T12:00:00Z\n") == [again]
    assert problems(tmp_path, f"{HEADER},since\n{DENVER},\n{HAIFA},\n{DENVER},\n{moved}\n") == [again]


@pytest.mark.parametrize(
    ("now", "latitude"),
    [
        (SPRING - timedelta(seconds=1), "1"),
        (SPRING, "2"),
        (AUTUMN - timedelta(seconds=1), "2"),
        (AUTUMN, "3"),
        (AUTUMN + timedelta(days=1000), "3"),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_newest_version_that_is_not_in_the_future_applies(
    tmp_path: Path, now: datetime, latitude: str, order: tuple[int, ...]
) -> None:
    times = ("", "2026-03-01T12:00:00Z", "2026-09-01T00:00:00Z")
    lines = [f"{DENVER.replace('39.7392', str(number + 1))},{time}" for number, time in enumerate(times)]
    new = f"{HAIFA},2026-09-01T00:00:00Z"
    file = tmp_path / "stations.csv"
    file.write_text("\n".join([f"{HEADER},since", new, *(lines[number] for number in order)]), encoding="utf-8")
    current = current_versions(read_station_versions(file), now)
    assert {name: at.latitude for name, at in current.items()} == {
        "denver": float(latitude),
        **({"haifa": 32.8156} if now >= AUTUMN else {}),
    }


def test_utf_16_is_refused_as_an_encoding(tmp_path: Path) -> None:
    found = problems(tmp_path, f"{HEADER}\n{DENVER}\n".encode("utf-16"))
    assert (1, None, StationProblemCode.ENCODING) in found


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(StationsError) as error:
            read_stations_csv(path)
        assert [problem.code for problem in error.value.problems] == [StationProblemCode.UNREADABLE]


def test_all_problems_are_reported_in_the_order_of_the_lines(tmp_path: Path) -> None:
    lines = [
        HEADER,
        DENVER.replace("39.7392", "151.2").replace("America/Denver", "Mars/Denver"),
        "short",
        HAIFA.replace("Haifa", "Ha\xefffa"),
        DENVER.replace("1609", "-999"),
    ]
    assert problems(tmp_path, "\n".join(lines).encode("cp1252")) == [
        (2, "latitude", StationProblemCode.RANGE),
        (2, "timezone", StationProblemCode.TIME_ZONE),
        (3, None, StationProblemCode.FIELD_COUNT),
        (4, None, StationProblemCode.ENCODING),
        (5, "elevation", StationProblemCode.RANGE),
        (5, "station_id", StationProblemCode.REPEATED_ID),
    ]


def test_the_message_has_file_line_column_value_and_allowed_range_of_a_limited_number_of_problems(
    tmp_path: Path,
) -> None:
    file = tmp_path / "stations.csv"
    bad = [f"station-{n}," + DENVER.partition(",")[2].replace("39.7392", f"{100 + n}.5") for n in range(1000)]
    file.write_text("\n".join([HEADER, *bad]), encoding="utf-8")
    with pytest.raises(StationsError) as error:
        read_stations_csv(file)
    assert len(error.value.problems) == 1000
    message = str(error.value)
    for text in (str(file), "line 2", "latitude", "100.5", "-90 to 90"):
        assert text in message
    assert len(message.splitlines()) < 30


TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
NUMBERS = st.integers(0, 10**6)
STATIONS = st.lists(
    st.builds(
        Station,
        station_id=st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}", fullmatch=True),
        name=TEXTS,
        country=TEXTS | st.just(""),
        latitude=NUMBERS.map(lambda n: n * 180 / 10**6 - 90).map(lambda x: round(x, 4)),
        longitude=NUMBERS.map(lambda n: n * 360 / 10**6 - 180).map(lambda x: round(x, 4)),
        elevation=st.none() | st.integers(-430, 8849).map(float),
        timezone=st.sampled_from(["UTC", "Asia/Kolkata", "America/Argentina/Buenos_Aires", "Etc/GMT+5"]),
        networks=st.frozensets(st.just(Network.KAGGLE)),
        sources=st.sampled_from([(), (Origin.OPEN_METEO,)]),
        since=st.none()
        | st.datetimes(datetime(1900, 1, 1), datetime(2020, 1, 1)).map(
            lambda time: time.replace(microsecond=0, tzinfo=UTC)
        ),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda station: station.station_id,
)


def table(rows: list[Station], names: list[str], quoting: int, ending: str) -> str:
    file = io.StringIO()
    writer = csv.writer(file, quoting=quoting, lineterminator=ending)  # type: ignore[arg-type]
    writer.writerow(names)
    for station in rows:
        values = vars(station) | {
            "latitude": f"{station.latitude:.4f}",
            "longitude": f"{station.longitude:.4f}",
            "elevation": "" if station.elevation is None else f"{station.elevation:g}",
            "networks": " ".join(sorted(station.networks)),
            "sources": " ".join(station.sources),
            "since": station.since and station.since.isoformat().replace("+00:00", "Z"),
        }
        writer.writerow([values[name] for name in names])
    return file.getvalue()


@given(
    rows=STATIONS,
    names=st.permutations(list(COLUMNS)),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.booleans(),
    blank=st.sampled_from(["", "\n", ",,,,,,,,,,\n\n", "   \n"]),
)
@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_table_is_read_as_it_was_written_in_every_form_with_one_meaning(
    tmp_path: Path, rows: list[Station], names: list[str], quoting: int, ending: str, mark: bool, blank: str
) -> None:
    file = tmp_path / "stations.csv"
    content = table(rows, names, quoting, ending) + blank.replace("\n", ending)
    file.write_bytes(content.encode("utf-8-sig" if mark else "utf-8"))
    assert list(read_stations_csv(file).values()) == rows


def is_valid(station: Station) -> bool:
    """Whether a station can be used everywhere: in a file name, a URL, on the map and in local time."""
    return (
        STATION_ID.fullmatch(station.station_id) is not None
        and len(station.station_id) <= 100
        and (Path("/folder") / f"{station.station_id}.parquet").resolve().parent == Path("/folder")
        and -90 <= station.latitude <= 90
        and -180 <= station.longitude <= 180
        and (station.elevation is None or -450 <= station.elevation <= 9000)
        and ZoneInfo(station.timezone) is not None
        and station.name.isprintable()
    )


@given(st.randoms(use_true_random=False), st.integers(1, 6))
@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400)
def test_a_changed_table_is_refused_or_contains_only_usable_stations(
    tmp_path: Path, chance: random.Random, changes: int
) -> None:
    content = bytearray(f"{HEADER}\n{DENVER}\n{HAIFA}\n".encode())
    for _ in range(changes):
        at = chance.randrange(len(content))
        inserted = chance.choice([b",", b";", b'"', b"\n", b"\r", b"\x00", b"\xff", b"\t", b"9", b"-", b".", b"/", b""])
        content[at : at + chance.randrange(3)] = inserted
    file = tmp_path / "stations.csv"
    file.write_bytes(content)
    error = refusal(file)
    if error is not None:
        assert error.problems
        return
    read = read_stations_csv(file)
    assert read
    assert all(is_valid(station) for station in read.values())


@given(st.binary(max_size=300))
@examples(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_refused_without_another_exception(tmp_path: Path, content: bytes) -> None:
    assert problems(tmp_path, content)
