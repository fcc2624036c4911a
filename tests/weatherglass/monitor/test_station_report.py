from __future__ import annotations

import csv
import io
import re
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_settings
from tests.weatherglass.store.samples import a_prediction, an_observation
from weatherglass.monitor.station_report import make_report, summary
from weatherglass.qc.station_status import ReceivedReading, StationDay, Status, StatusPeriod, station_day
from weatherglass.record_headers import Origin
from weatherglass.store import observations, predictions, station_days
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

DAY = date(2026, 1, 5)
START = datetime(2026, 1, 5, tzinfo=UTC)
END = START + timedelta(days=1)
QUARTER = timedelta(minutes=15)
LONG_BEFORE = START - timedelta(days=30)
LATER = END + timedelta(hours=1)


def quarters(*numbers: int, after: timedelta = timedelta(minutes=2), **passed: bool) -> list[ReceivedReading]:
    """Readings at these quarters of the day, which arrived `after` their time."""
    return [ReceivedReading(START + n * QUARTER, START + n * QUARTER + after, dict(passed)) for n in numbers]


def rated(readings: list[ReceivedReading], now: datetime = LATER) -> StationDay:
    return station_day("denver", DAY, sorted(readings, key=lambda reading: reading.time), now, LONG_BEFORE)


def test_a_day_without_gaps_is_up_all_day() -> None:
    day = rated(quarters(*range(96), range_check=True))
    assert (day.expected, day.received, day.interval_seconds) == (96, 96, 900)
    assert (day.timeliness_median, day.timeliness_p95, day.longest_gap) == (120, 120, 900)
    assert day.failed == {"range_check": 0.0}
    assert day.log == [StatusPeriod(Status.UP, START, END)]
    assert day.problem_share == 0


def test_silence_starts_one_interval_after_the_last_reading() -> None:
    day = rated(quarters(*range(20), *range(60, 96)))
    assert (day.expected, day.received) == (96, 56)
    last, again = START + 19 * QUARTER, START + 60 * QUARTER
    assert day.longest_gap == (again - last).total_seconds()
    assert day.log == [
        StatusPeriod(Status.UP, START, last + QUARTER),
        StatusPeriod(Status.SILENT, last + QUARTER, again),
        StatusPeriod(Status.UP, again, END),
    ]


def airport(*minutes: int, after: timedelta = timedelta(minutes=4)) -> list[ReceivedReading]:
    """Reports of an airport at these minutes of the day."""
    times = [START + timedelta(minutes=minute) for minute in minutes]
    return [ReceivedReading(time, time + after, {}, Origin.METAR) for time in times]


ROUTINE = range(51, 24 * 60, 60)
THUNDERSTORM = range(14 * 60, 20 * 60, 5)


def test_special_reports_do_not_make_an_airport_late_or_silent_afterwards() -> None:
    day = rated(airport(*{*ROUTINE, *THUNDERSTORM}, after=timedelta(minutes=30)))
    assert day.interval_seconds == 3600
    assert day.log == [StatusPeriod(Status.UP, START, END)]


def test_an_airport_is_silent_after_three_missing_reports() -> None:
    day = rated(airport(*(minute for minute in {*ROUTINE, *THUNDERSTORM} if not 4 * 60 < minute < 8 * 60)))
    last, again = START + timedelta(hours=3, minutes=51), START + timedelta(hours=8, minutes=51)
    assert StatusPeriod(Status.SILENT, last + timedelta(hours=1), again) in day.log
    assert day.seconds(Status.UP) == (END - START - (again - last - timedelta(hours=1))).total_seconds()


def test_the_interval_is_that_of_the_newest_source() -> None:
    before, after = quarters(*range(40)), airport(*(minute for minute in ROUTINE if minute > 600))
    assert rated([*before, *after]).interval_seconds == 3600


def test_a_station_without_readings_is_silent_all_day() -> None:
    yesterday = [ReceivedReading(START - n * QUARTER, START - n * QUARTER) for n in range(40, 20, -1)]
    for readings in ([], yesterday):
        day = station_day("denver", DAY, readings, LATER, LONG_BEFORE)
        assert (day.received, day.timeliness_median, day.failed) == (0, None, {})
        assert day.log == [StatusPeriod(Status.SILENT, START, END)]
        assert day.problem_share == 1
        assert day.expected == (96 if readings else 24)


def test_late_and_suspect_readings_have_their_own_status() -> None:
    late = quarters(*range(10, 20), after=timedelta(hours=1), step=True)
    suspect = quarters(*range(20, 24), after=timedelta(hours=1), step=False)
    day = rated(quarters(*range(10), step=True) + late + suspect + quarters(*range(24, 96), step=True))
    assert [(part.status, part.end - part.start) for part in day.log] == [
        (Status.UP, 10 * QUARTER),
        (Status.LATE, 10 * QUARTER),
        (Status.SUSPECT, 4 * QUARTER),
        (Status.UP, 72 * QUARTER),
    ]
    assert day.failed == {"step": 4 / 96}


def test_the_current_day_is_rated_up_to_now() -> None:
    day = rated(quarters(*range(40)), now=START + 40 * QUARTER)
    assert (day.expected, day.received) == (40, 40)
    assert day.log == [StatusPeriod(Status.UP, START, START + 40 * QUARTER)]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-2 * 1440, 1439), st.integers(0, 600), st.booleans()), unique_by=lambda r: r[0]))
def test_the_log_covers_the_day_without_gap_or_overlap(found: list[tuple[int, int, bool]]) -> None:
    readings = [
        ReceivedReading(START + timedelta(minutes=at), START + timedelta(minutes=at + delay), {"step": passed})
        for at, delay, passed in sorted(found)
    ]
    day = rated(readings)
    assert day.log[0].start == START
    assert day.log[-1].end == END
    assert all(one.end == other.start for one, other in zip(day.log, day.log[1:], strict=False))
    assert all(one.status is not other.status for one, other in zip(day.log, day.log[1:], strict=False))
    assert sum(day.seconds(status) for status in Status) == 86400
    assert day.received == sum(START <= reading.time < END for reading in readings)
    assert 0 <= day.problem_share <= 1
    assert day.longest_gap >= day.seconds(Status.SILENT) / max(sum(p.status is Status.SILENT for p in day.log), 1)


HOSTILE = "=<img src=x onerror=alert('x')>"


def test_the_report_lists_the_worst_station_first_and_is_saved(tmp_path: Path) -> None:
    state = make_settings(tmp_path / "state")
    migrate(state.store_url)
    store = open_store(state.store_url)
    with store.begin() as connection:
        before = START - QUARTER
        observations.save(connection, [an_observation("boston", before)], before, Origin.REPLAY)
        for station, numbers in {"boston": range(96), "denver": range(0, 96, 2), HOSTILE: range(30)}.items():
            for number in numbers:
                time = START + number * QUARTER
                arrived = time + timedelta(minutes=3)
                failed = ("step",) if station == "denver" and number < 24 else ()
                observations.save(connection, [an_observation(station, time)], arrived, Origin.REPLAY)
                predictions.save(connection, [a_prediction(station, time, failed)], arrived, Origin.REPLAY)
    days, page, table = make_report(state, DAY, LATER)
    assert [day.station_id for day in days] == [HOSTILE, "denver", "boston"]
    with store.connect() as connection:
        saved = station_days.load(connection, DAY, DAY + timedelta(days=1))
    store.dispose()
    assert sorted(saved, key=lambda day: -day.problem_share) == days
    assert days[1].failed["step"] == 12 / 48

    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    assert [row["received"] for row in rows] == ["30", "48", "96"]
    assert rows[0]["station_id"] == "'" + HOSTILE  # not a formula
    assert rows[2]["timeliness_median_s"] == "180"

    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    text = page.read_text(encoding="utf-8")
    parser.feed(text)
    assert "script" not in tags
    assert tags.count("tr") == 4
    assert "1 of 3" in text
    assert "http" not in text  # no external resources


def test_what_was_fetched_as_the_past_is_not_rated() -> None:
    noon = START + timedelta(hours=12)
    past = [ReceivedReading(START + n * timedelta(hours=1), noon) for n in range(12)]
    live = [ReceivedReading(noon + n * QUARTER, noon + n * QUARTER + timedelta(minutes=2)) for n in range(48)]
    day = station_day("denver", DAY, past + live, LATER, monitored_since=noon)
    assert day.log == [StatusPeriod(Status.UP, noon, END)]
    assert (day.expected, day.received, day.timeliness_median) == (48, 48, 120)


def test_a_day_before_the_pipelines_first_is_not_rated(tmp_path: Path) -> None:
    state = make_settings(tmp_path / "state")
    migrate(state.store_url)
    store = open_store(state.store_url)
    with store.begin() as connection:
        past = [an_observation("boston", START + n * timedelta(hours=1)) for n in range(24)]
        observations.save(connection, past, END + timedelta(minutes=5), Origin.REPLAY)
    store.dispose()
    days, _, table = make_report(state, DAY, LATER)
    assert days == []
    assert len(table.read_text(encoding="utf-8").splitlines()) == 1


def test_the_summary_counts_days_without_a_problem_and_names_stations_without_a_reading() -> None:
    readings = {"up": quarters(*range(96)), "one": quarters(40), "none": [], "no-more": []}
    days = [station_day(name, DAY, found, LATER, LONG_BEFORE) for name, found in readings.items()]
    text = summary(days)
    assert re.findall(r"\d+", text) == ["1", "4"]
    assert re.findall(r"\b(up|one|none|no-more)[,.]", text) == ["none", "no-more"]
    assert summary(days[:1]).count(".") == 1


def test_the_report_is_written_although_only_the_store_exists(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "new" / "state", database_url=f"sqlite:///{tmp_path / 'store.db'}")
    migrate(settings.store_url)
    days, page, table = make_report(settings, DAY, LATER)
    assert days == []
    assert page.parent == table.parent == settings.state_dir / "reports"
    assert len(table.read_text(encoding="utf-8").splitlines()) == 1


def test_a_report_that_is_open_is_not_changed_by_the_next_one(tmp_path: Path) -> None:
    state = make_settings(tmp_path / "state")
    migrate(state.store_url)
    _, *files = make_report(state, DAY, LATER)
    with ExitStack() as context:
        opened = [context.enter_context(file.open(encoding="utf-8")) for file in files]
        before = [file.read_text(encoding="utf-8") for file in files]
        store = open_store(state.store_url)
        with store.begin() as connection:
            observations.save(connection, [an_observation("boston", START)], START, Origin.REPLAY)
        store.dispose()
        make_report(state, DAY, LATER)
        assert [file.read() for file in opened] == before
    assert all(file.read_text(encoding="utf-8") != old for file, old in zip(files, before, strict=True))
