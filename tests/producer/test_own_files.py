"""Files of own stations: what is published, what the report says, where the file goes, and interruptions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from producer.incoming import DONE, FAILED, REPORT_SUFFIX
from producer.own_files import import_file, line_ranges
from producer.own_stations import OwnStationPublisher
from producer.publish import PublishError
from tests.producer.topic_reader import TopicReader
from tests.producer.weewx_archive import write_archive
from weatherglass.record_headers import Origin, origin
from weatherglass.records import Observation, iso
from weatherglass.settings import Settings
from weatherglass.stations import STATIONS_CSV

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CONTRACT = "station_id,timestamp,temperature,humidity,pressure,wind_speed,wind_direction,wind_gust"
OWN = "garden,My garden,,59.9,10.7,23,Europe/Oslo,,,\nroof,Roof,,59.9,10.7,30,Europe/Oslo,,,\n"


class Published(OwnStationPublisher):
    """Keeps what is published; the first calls fail."""

    def __init__(self, failures: int = 0):
        self.observations: list[Observation] = []
        self.failures = failures

    def publish(self, observations: Sequence[Observation], now: datetime) -> None:
        if self.failures:
            self.failures -= 1
            raise PublishError("no broker")
        self.observations += observations


@pytest.fixture
def incoming(settings: Settings) -> Path:
    settings.state_dir.mkdir()
    settings.station_table.write_text(STATIONS_CSV.read_text() + OWN)
    settings.incoming_folder.mkdir()
    return settings.incoming_folder


@pytest.fixture
def publisher() -> Published:
    return Published()


@pytest.fixture
def run(settings: Settings, publisher: Published) -> Callable[[Path], dict[str, Any]]:
    """Processes a file and returns its report, which is next to it."""

    def run(path: Path) -> dict[str, Any]:
        report = import_file(path, settings, publisher, NOW, lambda _: None)
        assert report
        assert not path.exists()
        folder = settings.incoming_folder / report.result / path.parent.relative_to(settings.incoming_folder)
        assert (folder / path.name).is_file()
        content: dict[str, Any] = json.loads((folder / f"{path.name}{REPORT_SUFFIX}").read_text())
        return content

    return run


Run = Callable[[Path], dict[str, Any]]


def row(minutes: int, station: str = "garden", values: str = "15.5,60,1010.2,3,250,7.5") -> str:
    return f"{station},{iso(NOW - timedelta(minutes=minutes))},{values}"


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def problems(report: dict[str, Any]) -> dict[tuple[str, str | None], str]:
    return {(problem["code"], problem["column"]): problem["lines"] for problem in report["problems"]}


def test_good_lines_are_published_and_bad_ones_are_reported_with_their_lines(
    incoming: Path, run: Run, publisher: Published
) -> None:
    lines = [
        *(row(20), row(40)),
        row(10, "unknown"),
        "garden,yesterday,15,60,1010,3,250,7",
        row(5, values="15,60"),
        row(4, values="fifteen,60,1010,3,250,7"),
        row(3, values="99,60,1010,3,250,7"),
        row(-60),
        row(60 * 24 * 11),
        row(1, "jfk"),
        row(30, "roof", ",,,,,"),
        row(30, "roof", "16,,,,,"),
    ]
    report = run(write(incoming / "a.csv", CONTRACT, *lines))
    assert report["result"] == DONE
    assert report["stations"] == {"garden": 3, "roof": 1}
    assert problems(report) == {
        ("unknown_station", "station_id"): "4",
        ("time_format", None): "5",
        ("field_count", None): "6",
        ("number", "temperature"): "7",
        ("out_of_range", "temperature"): "8",
        ("future", "timestamp"): "9",
        ("past", "timestamp"): "10",
        ("polled_station", "station_id"): "11",
        ("no_value", None): "12",
    }
    (unknown,) = [problem for problem in report["problems"] if problem["code"] == "unknown_station"]
    assert "weatherglass stations add" in unknown["detail"]
    published = {(o.station_id, o.timestamp): o for o in publisher.observations}
    assert list(published) == sorted(published, key=lambda key: key[1])
    full = {"humidity": 60, "pressure": 1010.2, "wind_speed": 3, "wind_direction": 250, "wind_gust": 7.5}
    for minutes in (20, 40):
        expected = Observation(
            station_id="garden", timestamp=NOW - timedelta(minutes=minutes), temperature=15.5, **full
        )
        assert published["garden", expected.timestamp] == expected
    assert published["garden", NOW - timedelta(minutes=4)].temperature is None
    assert published["roof", NOW - timedelta(minutes=30)].humidity is None


def test_a_file_of_a_mapping(incoming: Path, settings: Settings, run: Run, publisher: Published) -> None:
    settings.mappings.write_text(
        "[files.logger]\nstation = 'garden'\ntime_zone = 'Europe/Oslo'\nunits = { temperature = '°F' }\n"
        "columns = { timestamp = 'Zeit', temperature = 'Außen' }\n",
        encoding="utf-8",
    )
    report = run(write(incoming / "logger" / "a.csv", "Zeit;Außen;Luftdruck", "01.06.2026 13:30;59,0;x"))
    assert report["result"] == DONE
    assert report["unused_columns"] == ["Luftdruck"]
    (observation,) = publisher.observations
    assert observation == Observation(station_id="garden", timestamp=NOW - timedelta(minutes=30), temperature=15.0)


@pytest.mark.parametrize("mappings", ["", "[files.logger]\nstation = 7\n"])
def test_a_file_without_a_valid_mapping_fails_and_the_next_one_is_published(
    incoming: Path, settings: Settings, run: Run, mappings: str
) -> None:
    settings.mappings.write_text(mappings)
    report = run(write(incoming / "logger" / "a.csv", CONTRACT, row(5)))
    assert (report["result"], problems(report)) == (FAILED, {("mapping", None): ""})
    assert str(settings.mappings) in report["problems"][0]["detail"]
    assert run(write(incoming / "a.csv", CONTRACT, row(5)))["result"] == DONE


def test_without_a_column_the_name_of_the_file_is_the_station(incoming: Path, run: Run, publisher: Published) -> None:
    line = f"{iso(NOW - timedelta(minutes=5))},59"
    assert run(write(incoming / "garden.2026-06.csv", "time,temp (F)", line))["stations"] == {"garden": 1}
    report = run(write(incoming / "export.csv", "time,temp (F)", line))
    assert (report["result"], problems(report)) == (FAILED, {("unknown_station", "station_id"): "2"})


def test_an_archive_of_weewx(incoming: Path, run: Run, publisher: Published) -> None:
    """Old rows are reported, and the values are those of the row's own system of units."""
    times = [int((NOW - timedelta(minutes=minutes)).timestamp()) for minutes in (60 * 24 * 30, 60 * 24 * 29, 10, 5, 1)]
    values = (5, 30.1, 29.92, 50.0, 80.0, 10.0, 270.0, 20.0)
    rows = [(time, 1, *values) for time in times[:-1]]
    report = run(write_archive(incoming / "garden.sdb", *rows, (times[-1], 99, *values)))
    assert (report["result"], report["stations"]) == (DONE, {"garden": 2})
    assert problems(report) == {("past", "timestamp"): "1-2", ("unit_unknown", "usUnits"): "5"}
    assert [(o.temperature, o.pressure, o.wind_speed, o.wind_gust) for o in publisher.observations] == [
        (10.0, pytest.approx(1013.2, abs=0.05), 4.4704, 8.9408)
    ] * 2


def test_a_parquet_file(incoming: Path, run: Run, publisher: Published) -> None:
    frame = pd.DataFrame(
        {"station_id": ["garden"], "timestamp": [pd.Timestamp(NOW - timedelta(minutes=5))], "temperature": [15.5]}
    )
    frame.to_parquet(incoming / "a.parquet")
    assert run(incoming / "a.parquet")["published"] == 1
    assert publisher.observations[0].temperature == 15.5


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no_header"),
        (b"\x00\x01\x02" * 100, "unreadable"),
        (b"PK\x03\x04", "unreadable"),
        (b"SQLite format 3\0 but truncated", "unreadable"),
        (b"timestamp,temperature\n2026-06-01T11:00:00Z,15\n", "unit_missing"),
        (b"timestamp,temperature (C)\n2026-06-01 11:00,15\n", "time_zone"),
        (b"timestamp,temperature (C)\n", "no_readings"),
    ],
)
def test_a_file_that_cannot_be_used_is_moved_to_failed_with_the_reason(
    incoming: Path, run: Run, publisher: Published, content: bytes, code: str
) -> None:
    (incoming / "garden.csv").write_bytes(content)
    report = run(incoming / "garden.csv")
    assert report["result"] == FAILED
    assert [problem["code"] for problem in report["problems"]] == [code]
    assert publisher.observations == []


def test_a_file_that_raises_an_unexpected_error_does_not_block_the_others(
    incoming: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.own_files.read_network", lambda *_: 1 / 0)
    report = run(write(incoming / "a.csv", CONTRACT, row(5)))
    assert (report["result"], problems(report)) == (FAILED, {("error", None): ""})


def test_a_file_stays_until_the_broker_has_acknowledged_it(
    incoming: Path, settings: Settings, publisher: Published, run: Run
) -> None:
    publisher.failures = 1
    path = write(incoming / "a.csv", CONTRACT, row(5))
    with pytest.raises(PublishError):
        import_file(path, settings, publisher, NOW, lambda _: None)
    assert [entry.name for entry in incoming.iterdir()] == ["a.csv"]
    assert run(path)["published"] == 1


def test_after_an_interruption_before_the_move_the_same_observations_are_published_again(
    incoming: Path, settings: Settings, publisher: Published, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(incoming / "a.csv", CONTRACT, row(5), row(4))

    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            import_file(path, settings, publisher, NOW, lambda _: None)
    assert path.exists()
    assert run(path)["published"] == 2
    first, second = publisher.observations[:2], publisher.observations[2:]
    assert first == second
    assert sorted(entry.name for entry in (incoming / DONE).iterdir()) == ["a.csv", f"a.csv{REPORT_SUFFIX}"]


def test_a_file_that_cannot_be_moved_is_not_published(
    incoming: Path, settings: Settings, publisher: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(incoming / "a.csv", CONTRACT, row(5))
    monkeypatch.setattr(os, "access", lambda folder, mode: not (folder == incoming and mode == os.W_OK))
    with pytest.raises(PermissionError, match=str(path)):
        import_file(path, settings, publisher, NOW, lambda _: None)
    assert publisher.observations == []


def test_a_file_that_grows_while_it_is_processed_stays(incoming: Path, settings: Settings) -> None:
    path = write(incoming / "a.csv", CONTRACT, row(5))

    class Writer(Published):
        def publish(self, observations: Sequence[Observation], now: datetime) -> None:
            with path.open("a") as file:
                file.write(row(4))

    assert import_file(path, settings, Writer(), NOW, lambda _: None) is None
    assert [entry.name for entry in incoming.iterdir()] == ["a.csv"]


def test_files_of_the_same_name_are_all_kept(incoming: Path, settings: Settings, publisher: Published) -> None:
    for minutes in (5, 4, 3):
        path = write(incoming / "a.csv", CONTRACT, row(minutes))
        assert import_file(path, settings, publisher, NOW, lambda _: None)
    names = {"a.csv", "a-1.csv", "a-2.csv"}
    assert {entry.name for entry in (incoming / DONE).iterdir()} == names | {f"{name}{REPORT_SUFFIX}" for name in names}


def test_a_file_that_is_gone_was_processed(incoming: Path, settings: Settings, publisher: Published) -> None:
    assert import_file(incoming / "a.csv", settings, publisher, NOW, lambda _: None) is None


@pytest.mark.parametrize(
    ("lines", "text"), [([], ""), ([7], "7"), ([2, 5, 6, 7, 9], "2, 5-7, 9"), ([1, 2], "1-2"), ([3, 3], "3")]
)
def test_line_numbers_are_written_as_ranges(lines: list[int], text: str) -> None:
    assert line_ranges(lines) == text


@pytest.fixture
def real(settings_of: Callable[..., Settings]) -> Iterator[tuple[Settings, OwnStationPublisher]]:
    settings = settings_of()
    shutil.copy(STATIONS_CSV, settings.station_table)
    with settings.station_table.open("a") as table:
        table.write(OWN)
    settings.incoming_folder.mkdir()
    publisher = OwnStationPublisher(settings)
    yield settings, publisher
    publisher.close()


@pytest.mark.integration
def test_the_observations_are_on_the_topic_with_their_origin(
    reader: TopicReader, real: tuple[Settings, OwnStationPublisher]
) -> None:
    settings, publisher = real
    path = write(settings.incoming_folder / "a.csv", CONTRACT, row(5), row(4, "roof"))
    assert import_file(path, settings, publisher, NOW, lambda _: None)
    records = reader.records()
    assert {record.key for record in records} == {b"garden", b"roof"}
    assert {origin(record.headers) for record in records} == {Origin.OWN}
    assert {o.timestamp for o in reader.observations()} == {NOW - timedelta(minutes=5), NOW - timedelta(minutes=4)}
