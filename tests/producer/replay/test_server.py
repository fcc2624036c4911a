"""The replay server over HTTP, with the project's client and with plain requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from producer.metar import Metar
from producer.open_meteo import OpenMeteo
from producer.open_meteo_schema import API_UNITS
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import ReplayData, load_data
from producer.replay.server import ReplayServer
from producer.request_limit import RequestLimit
from tests.producer.conftest import FAST_RETRIES
from tests.producer.parts import join_reports
from weatherglass.history.sources.nycflights13 import read_nycflights13, stations
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.stations import bundled_stations

NOW = datetime(2026, 7, 14, 12, 22, 33, tzinfo=UTC)
ALL = ",".join(API_UNITS)
JFK = {"latitude": "40.64", "longitude": "-73.78"}
CAUGHT_UP = ReplayClock(NOW - timedelta(days=2), NOW - timedelta(days=3), 60)


class Clock:
    """The real time of the server; tests change it."""

    def __init__(self, now: datetime):
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture(scope="module")
def data() -> ReplayData:
    return load_data(Settings())


@pytest.fixture
def url(clock: Clock, data: ReplayData) -> Iterator[str]:
    server = ReplayServer(LOOPBACK, 0, Replay(data, CAUGHT_UP), clock)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def get(url: str, path: str = "/v1/forecast", **query: str) -> requests.Response:
    return requests.get(url + path, params=query, timeout=120)


def test_the_present_is_interpolated_from_the_same_date_in_2013(url: str) -> None:
    with OpenMeteo(url, url, FAST_RETRIES) as client:
        observed = client.observe(stations())
    assert not observed.failures
    rows = read_nycflights13().set_index(["station_id", "hour"])
    for name, station in observed.stations.items():
        assert station.current is not None
        assert station.current.timestamp == datetime(2026, 7, 14, 12, 15, tzinfo=UTC)
        before, after = (rows.loc[(name, f"2013-07-14T{hour}:00Z")].temperature for hour in (12, 13))
        assert station.current.temperature == pytest.approx(before + (after - before) / 4, abs=0.051)


def test_past_steps_end_with_the_present_one(url: str) -> None:
    with OpenMeteo(url, url, FAST_RETRIES) as client:
        observed = client.observe(stations()[:1], past_quarter_hours=8, past_hours=72).stations["ewr"]
    assert observed.quarter_hours[-1] == observed.current
    assert observed.hours[-1].timestamp == datetime(2026, 7, 14, 12, tzinfo=UTC)
    assert observed.hours[0].timestamp >= datetime(2026, 7, 11, 12, tzinfo=UTC)
    steps = {later.timestamp - earlier.timestamp for earlier, later in pairwise(observed.quarter_hours)}
    assert steps == {timedelta(minutes=15)}


def test_one_location_is_an_object_and_several_are_an_array(url: str) -> None:
    one = get(url, **JFK, current=ALL, wind_speed_unit="ms").json()
    assert "location_id" not in one
    assert one["timezone"] == "GMT"
    assert one["current"]["interval"] == 900
    assert one["current"]["time"] == "2026-07-14T12:15"
    assert one["current_units"] == {"time": "iso8601", "interval": "seconds", **API_UNITS}
    many = get(url, latitude="40.64,40.69,40.78", longitude="-73.78,-74.17,-73.87", current=ALL).json()
    assert [item.get("location_id") for item in many] == [None, 1, 2]
    assert [item["elevation"] for item in many] == [
        bundled_stations()[name].elevation for name in ("jfk", "ewr", "lga")
    ]


def test_the_default_unit_of_wind_is_kilometres_per_hour(url: str) -> None:
    in_ms = get(url, **JFK, current=ALL, wind_speed_unit="ms").json()
    in_kmh = get(url, **JFK, current=ALL).json()
    assert in_kmh["current_units"]["wind_speed_10m"] == "km/h"
    assert in_kmh["current"]["wind_speed_10m"] == pytest.approx(in_ms["current"]["wind_speed_10m"] * 3.6, abs=0.02)


@pytest.mark.parametrize(("unit", "metres"), [("kmh", 1000 / 3600), ("mph", 1609.344 / 3600), ("kn", 1852 / 3600)])
def test_wind_speeds_are_converted_to_the_requested_unit(url: str, unit: str, metres: float) -> None:
    in_ms = get(url, **JFK, current=ALL, wind_speed_unit="ms").json()["current"]["wind_speed_10m"]
    converted = get(url, **JFK, current=ALL, wind_speed_unit=unit).json()["current"]["wind_speed_10m"]
    assert in_ms > 1
    assert converted * metres == pytest.approx(in_ms, abs=0.011)


def test_without_past_days_a_series_begins_today(url: str) -> None:
    times = get(url, **JFK, hourly=ALL, forecast_days="1").json()["hourly"]["time"]
    assert (times[0], times[-1], len(times)) == ("2026-07-14T00:00", "2026-07-14T23:00", 24)


@pytest.mark.parametrize(("days", "status"), [("92", 200), ("93", 400)])
def test_the_maximum_of_past_days_is_allowed(url: str, days: str, status: int) -> None:
    assert get(url, **JFK, hourly="temperature_2m", past_days=days, forecast_days="0").status_code == status


def test_values_in_the_future_are_null(url: str) -> None:
    series = get(url, **JFK, hourly=ALL, past_hours="2", forecast_hours="4").json()["hourly"]
    assert series["time"] == [f"2026-07-14T{hour}:00" for hour in range(10, 16)]
    known = [value is not None for value in series["temperature_2m"]]
    assert known == [True, True, True, False, False, False]


def test_a_location_far_from_all_stations_is_not_covered(url: str) -> None:
    denver = bundled_stations()["denver"]
    with OpenMeteo(url, url, FAST_RETRIES) as client:
        observed = client.observe([denver, *stations()])
    assert set(observed.failures) == {"denver"}


def test_the_archive_returns_the_values_of_the_file(url: str) -> None:
    with OpenMeteo(url, url, FAST_RETRIES) as client:
        table, _ = client.archive(stations(), date(2013, 3, 1), date(2013, 3, 2))
    rows = read_nycflights13()
    rows = rows[(rows.hour >= "2013-03-01T00:00Z") & (rows.hour < "2013-03-03T00:00Z")]
    both = table.merge(rows, on=["station_id", "hour"], suffixes=("", "_file"))
    assert len(both) == len(rows) == len(table)
    assert (both.temperature - both.temperature_file).abs().max() <= 0.051
    assert (both.wind_speed - both.wind_speed_file).abs().max() <= 0.0051


def test_poles_and_the_antimeridian_are_valid_coordinates(url: str) -> None:
    assert get(url, latitude="90,-90", longitude="180,-180", current=ALL).status_code == 200


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"latitude": "999", "longitude": "0"}, "999.0"),
        ({"latitude": "90.01", "longitude": "0"}, "90.01"),
        ({"latitude": "0", "longitude": "-180.01"}, "-180.01"),
        ({"latitude": "1,2", "longitude": "0"}, "latitude"),
        ({"latitude": "north", "longitude": "0"}, "north"),
        ({"latitude": "nan", "longitude": "0"}, "nan"),
        ({"longitude": "0"}, "latitude"),
        ({**JFK, "current": "snow"}, "snow"),
        ({**JFK, "hourly": ALL, "past_hours": "-3"}, "past_hours"),
        ({**JFK, "hourly": ALL, "past_hours": "99999"}, "past_hours"),
        ({**JFK, "timezone": "Europe/Berlin"}, "Europe/Berlin"),
        ({**JFK, "wind_speed_unit": "furlongs"}, "furlongs"),
    ],
)
def test_an_invalid_query_is_a_bad_request_with_a_reason(url: str, query: dict[str, str], named: str) -> None:
    response = get(url, **query)
    assert response.status_code == 400
    assert response.json()["error"] is True
    assert named in response.json()["reason"]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2013-03-02", "2013-03-01"),
        ("spring", "2013-03-01"),
        ("0001-01-01", "9999-12-31"),
        ("2013-01-01", "2014-01-02"),  # a day longer than a year with a 29 February
    ],
)
def test_an_invalid_period_of_the_archive_is_a_bad_request(url: str, first: str, last: str) -> None:
    response = get(url, "/v1/archive", **JFK, start_date=first, end_date=last, hourly=ALL)
    assert response.status_code == 400
    assert response.json()["error"] is True
    assert "date" in response.json()["reason"]


def test_a_complete_year_of_the_archive_can_be_requested(url: str) -> None:
    response = get(url, "/v1/archive", **JFK, start_date="2012-01-01", end_date="2012-12-31", hourly="temperature_2m")
    assert len(response.json()["hourly"]["time"]) == 366 * 24


def test_another_path_is_not_found(url: str) -> None:
    response = get(url, "/etc/passwd")
    assert response.status_code == 404
    assert response.json()["error"] is True


def test_health_contains_the_time_of_the_replay(url: str, clock: Clock) -> None:
    assert get(url, "/health").json()["caught_up"] is True
    clock.now = CAUGHT_UP.started
    health = get(url, "/health").json()
    assert health["caught_up"] is False
    assert health["time"] == "2026-07-11T12:22:33Z"


def test_values_in_a_gap_of_the_data_are_missing(url: str, clock: Clock) -> None:
    clock.now = datetime(2026, 10, 26, 3, 15, tzinfo=UTC)  # 2013-10-26 has no data from 00 to 04 UTC
    with OpenMeteo(url, url, FAST_RETRIES) as client:
        observed = client.observe(stations())
    assert set(observed.failures) == {"ewr", "jfk", "lga"}


@pytest.mark.integration
def test_the_process_prints_its_url_when_ready_and_stops_on_sigterm(settings: Settings) -> None:
    environment = os.environ | {
        "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        "WEATHERGLASS_REPLAY_PORT": str(settings.replay_port),
    }
    process = subprocess.Popen([sys.executable, "-m", "producer.replay"], env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert settings.replay_url.encode() in process.stdout.readline()
        assert get(settings.replay_url, "/health").json()["stations"] == 3
        second = subprocess.run([sys.executable, "-m", "producer.replay"], env=environment, capture_output=True)
        assert second.returncode == 1, "the port is in use"
        assert b"WEATHERGLASS_REPLAY_PORT" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_airport_reports_are_the_values_of_the_hours_that_they_belong_to(url: str, tmp_path: Path) -> None:
    with Metar(url, RequestLimit(tmp_path / "limit", 0.0), FAST_RETRIES) as client:
        day, long = timedelta(hours=24), timedelta(hours=240)
        observed = join_reports(client.observe(stations(), {}, NOW, day, long, print))
        assert client.replayed
    assert not observed.failures
    assert not observed.refusals
    rows = read_nycflights13().set_index(["station_id", "hour"])
    for name, station in observed.stations.items():
        reports = [*station.hours, station.current]
        assert [report.timestamp for report in reports if report] == [
            datetime(2026, 7, 14, 11, 51, tzinfo=UTC) - timedelta(hours=hours)
            for hours in range(23, -1, -1)
            if (name, datetime(2013, 7, 14, 12, tzinfo=UTC) - timedelta(hours=hours)) in rows.index
        ]
        for report in reports:
            assert report is not None
            hour = report.timestamp.replace(year=2013) + timedelta(minutes=9)
            row = rows.loc[(name, hour)]
            assert report.temperature == pytest.approx(row.temperature, abs=0.051)
            assert report.temperature_resolution == 0.1
            assert report.humidity == pytest.approx(row.humidity, abs=1.2)  # dew points have tenths
            assert report.wind_speed == pytest.approx(row.wind_speed, abs=0.01)
            if row.wind_speed and row.wind_direction > 0:
                assert report.wind_direction == row.wind_direction
            else:
                assert report.wind_direction is None  # calm or variable
            if row.pressure > 0:
                assert report.pressure == pytest.approx(row.pressure, abs=0.15)


def test_airport_reports_have_the_statuses_of_the_api(url: str) -> None:
    assert get(url, "/api/data/metar", ids="KJFK", hours="2").json()[0]["rawOb"].startswith("METAR KJFK 141151Z")
    nothing = get(url, "/api/data/metar", ids="ZZZZ")
    assert (nothing.status_code, nothing.content) == (204, b"")
    for query in ({}, {"ids": "KJFK", "hours": "many"}, {"ids": "KJFK", "hours": "-1"}):
        assert get(url, "/api/data/metar", **query).status_code == 400
