"""History prepared by Spark, compared with an independent reader of the same file."""

from __future__ import annotations

import csv
import math
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from producer.history_download import fetch_archive
from producer.open_meteo import OpenMeteo
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import load_data
from producer.replay.server import ReplayServer
from spark_jobs.prepare_history import OwnFile, checked, main, prepare
from tests.conftest import make_settings
from tests.weatherglass.history.sources.test_kaggle import make_zip
from weatherglass.evaluation.datasets import read
from weatherglass.history.prepared import (
    FLAG_COLUMNS,
    HISTORY_COLUMNS,
    read_complete_manifest,
    read_history,
    read_manifest,
)
from weatherglass.history.source_choice import LAST, SourceChoice, choose
from weatherglass.history.sources import SourceError
from weatherglass.history.sources.kaggle import KaggleProblemCode, read_kaggle
from weatherglass.history.sources.nycflights13 import weather_csv
from weatherglass.qc.history_checks import HistoryFlag
from weatherglass.record_headers import Origin
from weatherglass.records import (
    VARIABLES,
    Observation,
)
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.stations import STATIONS_CSV, bundled_stations
from weatherglass.store import observations
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

pytestmark = pytest.mark.integration


def number(text: str) -> float:
    return math.nan if text in ("", "NA") else float(text)


def test_every_value_of_the_bundled_history_matches_the_csv_file(spark: SparkSession, settings: Settings) -> None:
    lines_logged: list[str] = []
    manifest = prepare(spark, settings, "nycflights13", lines_logged.append)
    table = pd.read_parquet(settings.history_dir / "observations")
    assert set(table.columns) - {"year"} == {*HISTORY_COLUMNS, *FLAG_COLUMNS}
    rows = {(row.station_id, row.hour.to_pydatetime().astimezone(UTC)): row for row in table.itertuples()}
    assert len(rows) == len(table) == manifest.rows

    with weather_csv().open(encoding="utf-8", newline="") as file:
        # A line has the clock hour of a report at minute 51, which is the value of the hour that follows.
        hours = (
            (line, datetime.fromisoformat(line["time_hour"]) + timedelta(hours=1)) for line in csv.DictReader(file)
        )
        lines = {(line["origin"].lower(), hour.astimezone(UTC)): line for line, hour in hours}
    impossible = 0
    for key, line in lines.items():
        fahrenheit, mph = number(line["temp"]), number(line["wind_speed"])
        expected = {
            "temperature": (fahrenheit - 32) * 5 / 9,
            "humidity": number(line["humid"]),
            "wind_speed": mph * 1609.344 / 3600,
            "wind_direction": number(line["wind_dir"]),
        }
        if expected["wind_speed"] > 75:
            impossible += 1
            expected["wind_speed"] = math.nan
        row = rows.pop(key)
        for name, value in expected.items():
            assert np.isclose(getattr(row, name), value, rtol=1e-12, equal_nan=True), (key, name)
        for name in VARIABLES:
            flag = getattr(row, f"{name}_flag")
            assert (flag in (HistoryFlag.MISSING, HistoryFlag.RANGE)) == math.isnan(getattr(row, name)), (key, name)
        assert (row.wind_speed_flag == HistoryFlag.RANGE) == (mph * 1609.344 / 3600 > 75)
    assert rows == {}, "hours that are not in the file"
    assert impossible, "the wind of 468 m/s in the file"
    assert any(line.startswith("wind_speed") and str(impossible) in line for line in lines_logged)
    assert len(read_history(settings.history_dir).stations) == 3
    report = (settings.history_dir / "report.html").read_text(encoding="utf-8")
    assert f"{manifest.rows:,}" in report
    assert report.count("<img") == 2
    assert not re.search(r"<script|https?://", report), "the page loads nothing"


def test_preparing_the_same_history_again_writes_no_file(spark: SparkSession, settings: Settings) -> None:
    first = prepare(spark, settings, "nycflights13", lambda _: None)
    files = {file: file.stat().st_mtime_ns for file in settings.history_dir.rglob("*")}
    assert prepare(spark, settings, "nycflights13", lambda _: None) == first
    assert {file: file.stat().st_mtime_ns for file in settings.history_dir.rglob("*")} == files


@pytest.mark.parametrize("name", ["manifest.json", "stations.json"])
def test_a_damaged_history_is_prepared_again(spark: SparkSession, settings: Settings, name: str) -> None:
    manifest = prepare(spark, settings, "nycflights13", print)
    (settings.history_dir / name).write_bytes(b"")
    assert prepare(spark, settings, "nycflights13", print) == manifest
    assert read_complete_manifest(settings.history_dir) == manifest


def test_a_damaged_zip_is_named_and_the_old_history_is_kept(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    before = prepare(spark, settings, "nycflights13", lambda _: None)
    damaged = tmp_path / "weather.zip"
    damaged.write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(SourceError, match=r"weather\.zip"):
        prepare(spark, make_settings(settings.state_dir, kaggle_zip=damaged), "kaggle", lambda _: None)
    assert read_manifest(settings.history_dir) == before
    assert {path.name for path in settings.state_dir.iterdir()} == {"history", "history.versions"}
    assert len(list((settings.state_dir / "history.versions").iterdir())) == 1, "no incomplete version is left"


def test_a_downloaded_archive_is_extended_by_stored_observations(spark: SparkSession, settings: Settings) -> None:
    """An archive over HTTP from the replay server, then days of live observations from the store."""
    now = datetime(2026, 7, 14, 12, tzinfo=UTC)
    cities = [bundled_stations()[name] for name in ("new-york",)]
    clock = ReplayClock(now - timedelta(days=2), now - timedelta(days=3), 60)
    server = ReplayServer(LOOPBACK, 0, Replay(load_data(Settings()), clock), lambda: now)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = f"http://{LOOPBACK}:{server.server_port}"
        with OpenMeteo(url, url) as client:
            fetch_archive(client, cities, settings.archive_dir, now, print, pause_seconds=0)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    fetched = pd.read_parquet(settings.archive_dir / "new-york.parquet")
    archived = prepare(spark, settings, "open-meteo", print)
    assert archived.source == "open-meteo"
    assert archived.stations == 1
    grid = read_history(settings.history_dir)
    row = [station.station_id for station in grid.stations].index("new-york")
    temperatures = grid.values[row, :, 0]
    at = (fetched["hour"].dt.tz_convert(None).to_numpy("datetime64[h]") - grid.start).astype(int)
    assert np.allclose(temperatures[at], fetched["temperature"].to_numpy(float), equal_nan=True, atol=1e-4)

    last = datetime.fromisoformat(archived.last_hour)
    live = [
        Observation(
            station_id="new-york",
            timestamp=last + timedelta(minutes=15 * step),
            temperature=20.0 + step % 4,
            humidity=50.0,
            pressure=1010.0,
            wind_speed=3.0,
            wind_direction=90.0,
        )
        for step in range(1, 4 * 60)
    ]
    migrate(settings.store_url)
    with open_store(settings.store_url).begin() as connection:
        observations.save(connection, live, now, Origin.OPEN_METEO)
        replayed = [o.model_copy(update={"timestamp": o.timestamp + timedelta(days=3)}) for o in live]
        observations.save(connection, replayed, now, Origin.REPLAY)
    extended = prepare(spark, settings, "open-meteo", print)
    end = live[-1].timestamp.replace(hour=0, minute=0)
    assert datetime.fromisoformat(extended.last_hour) == end - timedelta(hours=1), "only complete days"
    assert extended.rows == archived.rows + (end - last) // timedelta(hours=1) - 1
    grid = read_history(settings.history_dir)
    expected = np.mean(
        [
            o.temperature
            for o in live
            if timedelta(minutes=-19) <= o.timestamp - end + timedelta(hours=1) < timedelta(minutes=1)
        ]
    )
    assert grid.values[row, -1, 0] == pytest.approx(expected)
    assert prepare(spark, settings, "open-meteo", print) == extended


def test_stored_hours_of_all_sources_and_stations_are_added_years_after_the_end_of_the_source(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    kaggle_only = make_settings(settings.state_dir, kaggle_zip=make_zip(tmp_path / "k.zip"))
    before = prepare(spark, kaggle_only, "kaggle", print)
    begin = datetime(2026, 3, 1, tzinfo=UTC)

    def save(station_id: str, origin: Origin | None, value: float) -> None:
        hourly = [
            Observation(station_id=station_id, timestamp=begin + timedelta(hours=hour), temperature=value + hour / 10)
            for hour in range(49)
        ]
        with open_store(settings.store_url).begin() as connection:
            observations.save(connection, hourly, begin, origin)

    migrate(settings.store_url)
    save("new-york", Origin.METAR, 1.0)
    save("denver", Origin.OPEN_METEO, 2.0)
    save("garden", None, 3.0)
    save("boston", Origin.REPLAY, -40.0)
    save("oslo", Origin.SIMULATED, -40.0)
    lines: list[str] = []
    manifest = prepare(spark, kaggle_only, "kaggle", lines.append)
    assert manifest.fingerprint != before.fingerprint
    added = {
        name: hours - before.station_hours.get(name, 0)
        for name, hours in manifest.station_hours.items()
        if hours != before.station_hours.get(name)
    }
    # Only complete days are added.
    assert added == {"new-york": 48, "denver": 48}
    assert manifest.rows == sum(manifest.station_hours.values())
    assert any("garden" in line and "48" in line for line in lines)
    assert "garden" in (settings.history_dir / "report.html").read_text(encoding="utf-8")
    grid = read_history(settings.history_dir)
    # The years between are not on the axis.
    assert grid.values.shape[1] < 1000
    row = {station.station_id: i for i, station in enumerate(grid.stations)}
    for station_id, value in (("new-york", 1.0), ("denver", 2.0)):
        last = grid.values[row[station_id], -48:, 0]
        np.testing.assert_allclose(last, value + np.arange(48) / 10, rtol=1e-6)
    assert grid.hours[-1] == np.datetime64("2026-03-02T23", "h")
    save("new-york", Origin.METAR, 1.0)
    # The same observations again are not new.
    assert prepare(spark, kaggle_only, "kaggle", print) == manifest


def test_a_kaggle_zip_gives_36_stations_with_possible_temperatures(
    spark: SparkSession, settings: Settings, test_data: Path
) -> None:
    zip_path = test_data / "historical-hourly-weather-data.zip"
    manifest = prepare(spark, make_settings(settings.state_dir, kaggle_zip=zip_path), "kaggle", lambda _: None)
    grid = read_history(settings.history_dir)
    assert len(grid.stations) == 36
    assert manifest.source == "kaggle"
    temperatures = grid.values[:, :, 0]
    assert np.nanmin(temperatures) > -80
    assert np.nanmax(temperatures) < 60


def test_what_is_not_used_of_a_kaggle_zip_is_logged_and_in_the_report(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    humidity = "datetime,New York,Oslo\n2013-01-01 00:00:00,80,\n2013-01-01 01:00:00,,\n2150-01-01 00:00:00,80,80\n"
    zip_path = make_zip(tmp_path / "k.zip", humidity=humidity, wind_direction=None)
    lines_logged: list[str] = []
    manifest = prepare(spark, make_settings(settings.state_dir, kaggle_zip=zip_path), "kaggle", lines_logged.append)
    problems = read_kaggle(zip_path).problems
    assert [problem.code for problem in problems] == [KaggleProblemCode.TIME_RANGE, KaggleProblemCode.FILE]
    report = (settings.history_dir / "report.html").read_text(encoding="utf-8")
    for problem in problems:
        assert any(str(problem) in line for line in lines_logged)
        assert escape(str(problem)) in report
    assert manifest.last_hour == "2013-01-01T01:00:00Z", "the row in 2150 does not lengthen the history"


def test_hours_of_a_station_before_it_was_moved_are_not_used(spark: SparkSession, settings: Settings) -> None:
    """Moved at 06:00 of the first day: the first hour at the new place, from observations since 06:41, is 07:00."""
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    header = STATIONS_CSV.read_text(encoding="utf-8").splitlines()[0]
    garden, roof = "garden,G,,40.5,-74.5,,UTC,,,", "roof,R,,40.6,-74.6,,UTC,,,"
    lines = [f"{header},since", f"{garden},", f"{roof},"]
    migrate(settings.store_url)
    settings.station_table.write_text("\n".join(lines), encoding="utf-8")
    with open_store(settings.store_url).begin() as connection:
        for name in ("garden", "roof"):
            hourly = [
                Observation(station_id=name, timestamp=begin + timedelta(hours=hour), temperature=hour / 10)
                for hour in range(25)
            ]
            observations.save(connection, hourly, begin, Origin.OWN)
    before = prepare(spark, settings, "nycflights13", print)
    assert before.station_hours["garden"] == before.station_hours["roof"] == 24

    moved = garden.replace("40.5", "41.5")
    lines.append(f"{moved},2026-03-01T06:00:00Z")
    settings.station_table.write_text("\n".join(lines), encoding="utf-8")
    logged: list[str] = []
    manifest = prepare(spark, settings, "nycflights13", logged.append)
    assert manifest.fingerprint != before.fingerprint
    assert manifest.station_hours == {**before.station_hours, "garden": 17}
    assert any("garden" in line and re.search(r"\b7 hours", line) for line in logged)
    assert "garden" in (settings.history_dir / "report.html").read_text(encoding="utf-8")
    grid = read_history(settings.history_dir)
    row = {station.station_id: i for i, station in enumerate(grid.stations)}["garden"]
    assert (grid.stations[row].latitude, grid.stations[row].since) == (41.5, begin + timedelta(hours=6))
    np.testing.assert_allclose(grid.values[row, -24:, 0], [math.nan] * 7 + [hour / 10 for hour in range(7, 24)])
    assert prepare(spark, settings, "nycflights13", print) == manifest

    # Also hours of the source, and a station without an hour at its present place is not known to the models.
    lines[-1] = f"{moved},2026-03-01T23:00:00Z"
    lines.append("jfk,J,,40.7,-73.8,4,America/New_York,nycflights13,,,2013-12-30T23:30:00Z")
    settings.station_table.write_text("\n".join(lines), encoding="utf-8")
    manifest = prepare(spark, settings, "nycflights13", print)
    bundled = pd.read_parquet(settings.history_dir / "observations")
    assert bundled[bundled["station_id"] == "jfk"]["hour"].min() == pd.Timestamp("2013-12-31T00:00:00")
    assert {station.station_id for station in read_history(settings.history_dir).stations} == {
        *("ewr", "jfk", "lga", "roof")
    }
    assert set(manifest.station_hours) == {"ewr", "jfk", "lga", "roof"}
    assert len(read([settings.history_dir], begin)[0]) == manifest.rows  # an evaluation uses all hours


def own_file(folder: Path, *station_ids: str) -> Path:
    """Two days in °F, without a value for humidity."""
    lines = [
        f"{name},2025-05-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z,{50 + hour % 24},,1012"
        for name in station_ids
        for hour in range(48)
    ]
    file = folder / "own.csv"
    file.write_text("\n".join(["station_id,time,temperature (°F),humidity (%),pressure (hPa)", *lines]))
    return file


def test_a_users_own_file_is_prepared_and_the_choice_is_remembered(
    spark: SparkSession,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(SparkSession, "stop", lambda _: None)  # it is the session of all tests
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))
    file = own_file(tmp_path, "jfk", "garden")
    assert main(["--source=file", "--choice=file", f"--file={file}"]) == 0
    assert any("48" in line and "garden" in line for line in capfd.readouterr().out.splitlines())
    manifest = read_complete_manifest(settings.history_dir)
    assert manifest
    assert (manifest.source, manifest.station_hours) == ("file", {"jfk": 48})
    assert (manifest.first_hour, manifest.last_hour) == ("2025-05-01T00:00:00Z", "2025-05-02T23:00:00Z")
    table = pd.read_parquet(settings.history_dir / "observations").sort_values("hour")
    np.testing.assert_allclose(table["temperature"], [(18 + hour % 24) * 5 / 9 for hour in range(48)])
    assert set(table["source"]) == {"file"}
    assert "garden" in (settings.history_dir / "report.html").read_text(encoding="utf-8")
    assert choose(settings, SourceChoice(LAST)) == SourceChoice("file", str(file))

    # A failed preparation of another choice leaves the history and the choice.
    assert main(["--source=kaggle", "--choice=kaggle"]) == 1
    assert read_complete_manifest(settings.history_dir) == manifest
    assert choose(settings, SourceChoice(LAST)) == SourceChoice("file", str(file))

    # With the station in the table, the same file gives another history.
    settings.station_table.write_text(
        STATIONS_CSV.read_text(encoding="utf-8") + "garden,Garden,United States,40.7,-73.9,10,America/New_York,,,\n"
    )
    assert main(["--source=file", "--choice=file", f"--file={file}"]) == 0
    extended = read_complete_manifest(settings.history_dir)
    assert extended
    assert extended.station_hours == {"garden": 48, "jfk": 48}
    assert main(["--source=nycflights13", "--choice=auto"]) == 0
    assert choose(settings, SourceChoice(LAST)) == SourceChoice("auto")


def test_what_the_user_states_about_a_file_is_used_and_remembered(
    spark: SparkSession, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkSession, "stop", lambda _: None)  # it is the session of all tests
    monkeypatch.setenv("WEATHERGLASS_STATE_DIR", str(settings.state_dir))
    file = tmp_path / "own.csv"
    readings = [f"jfk,2025-05-01 {hour:02d}:00,{50 + hour},1012" for hour in range(24)]
    file.write_text("\n".join(["station_id,time,temperature,pressure (hPa)", *readings]))
    choice = SourceChoice("file", str(file), ("temperature=F",), "+02:00")
    arguments = ["--source=file", "--choice=file", f"--file={file}", "--unit=temperature=F"]
    assert main(arguments) == 1  # without a time zone
    for zone, first, last in (("+02:00", "2025-04-30T22", "2025-05-01T21"), ("UTC", "2025-05-01T00", "2025-05-01T23")):
        assert main([*arguments, f"--time-zone={zone}"]) == 0
        manifest = read_complete_manifest(settings.history_dir)
        assert manifest
        assert (manifest.first_hour, manifest.last_hour) == (f"{first}:00:00Z", f"{last}:00:00Z")
        table = pd.read_parquet(settings.history_dir / "observations").sort_values("hour")
        np.testing.assert_allclose(table["temperature"], [(18 + hour) * 5 / 9 for hour in range(24)])
        assert choose(settings, SourceChoice(LAST)) == replace(choice, time_zone=zone)


def test_a_file_without_a_known_station_is_an_error_that_names_its_stations(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    file = OwnFile(own_file(tmp_path, "garden", "roof"), datetime(2026, 1, 5, tzinfo=UTC))
    with pytest.raises(SourceError, match="garden, roof"):
        prepare(spark, settings, "file", print, file)
    assert read_complete_manifest(settings.history_dir) is None


def test_a_file_is_given_for_its_own_source_only(tmp_path: Path) -> None:
    for arguments in (["--source=file"], ["--source=kaggle", f"--file={tmp_path}"]):
        with pytest.raises(SystemExit):
            main(arguments)


def test_values_are_compared_with_the_limits_of_their_station() -> None:
    boston = bundled_stations()["boston"]
    lisbon = replace(boston, station_id="lisbon", latitude=38.72, elevation=77.0)
    vostok = replace(boston, station_id="vostok", latitude=-78.46, elevation=3488.0)
    hours = pd.date_range("2026-01-05", periods=3, freq="h", tz="UTC")
    one = pd.DataFrame({"hour": hours, "temperature": [-40.0, -60.0, -96.0], "humidity": [100.0, 104.0, 106.0]})
    one = one.assign(pressure=[1000.0, 540.0, 299.0], wind_speed=[0.0, 0.0, 76.0], wind_direction=[90.0, 0.0, 361.0])
    table = pd.concat([one.assign(station_id=name, source="test") for name in ("lisbon", "vostok", "elsewhere")])
    lines: list[str] = []
    result = checked(table, (lisbon, vostok), "kaggle", lines.append).set_index(["station_id", "hour"])
    nan = math.nan
    kept = {"lisbon": ([-40, nan, nan], [1000, nan, nan]), "vostok": ([-40, -60, nan], [1000, nan, nan])}
    for name, (temperature, pressure) in (kept | {"elsewhere": ([-40, -60, nan], [1000, 540, nan])}).items():
        of_station = result.loc[name]
        np.testing.assert_array_equal(of_station["temperature"], temperature)
        np.testing.assert_array_equal(of_station["pressure"], pressure)
        np.testing.assert_array_equal(of_station["humidity"], [100, 100, nan])
        np.testing.assert_array_equal(of_station["wind_speed"], [0, 0, nan])
        np.testing.assert_array_equal(of_station["wind_direction"], [90, 0, nan])
        for variable in VARIABLES:
            out = of_station[f"{variable}_flag"] == HistoryFlag.RANGE
            assert (out == of_station[variable].isna()).all()
    counts = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    assert counts == {"temperature": 4, "humidity": 3, "pressure": 5, "wind_speed": 3, "wind_direction": 3}
