"""The replay server, asked by our own client and by hand, over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import requests

from producer.open_meteo import OpenMeteo
from producer.open_meteo_schema import API_UNITS
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import ReplayData, load_data
from producer.replay.server import ReplayServer
from tests.producer.conftest import HASTY
from weatherglass.history.sources.nycflights13 import read_nycflights13, stations
from weatherglass.settings import LOOPBACK, Settings
from weatherglass.stations import known_stations

NOW = datetime(2026, 7, 14, 12, 22, 33, tzinfo=UTC)
ALL = ",".join(API_UNITS)
JFK = {"latitude": "40.64", "longitude": "-73.78"}
CAUGHT_UP = ReplayClock(NOW - timedelta(days=2), NOW - timedelta(days=3), 60)


class Moment:
    """The real time as the server sees it; tests move it."""

    def __init__(self, now: datetime):
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def moment() -> Moment:
    return Moment(NOW)


@pytest.fixture(scope="module")
def data() -> ReplayData:
    return load_data(Settings())


@pytest.fixture
def url(moment: Moment, data: ReplayData) -> Iterator[str]:
    server = ReplayServer(LOOPBACK, 0, Replay(data, CAUGHT_UP), moment)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str, path: str = "/v1/forecast", **query: str) -> requests.Response:
    return requests.get(url + path, params=query, timeout=120)


def test_our_client_reads_the_present_of_the_same_date_in_2013(url: str) -> None:
    with OpenMeteo(url, url, HASTY) as client:
        observed = client.observe(stations())
    assert not observed.failures
    rows = read_nycflights13().set_index(["station_id", "hour"])
    for name, found in observed.stations.items():
        assert found.current is not None
        assert found.current.timestamp == datetime(2026, 7, 14, 12, 15, tzinfo=UTC)
        before, after = (rows.loc[(name, f"2013-07-14T{hour}:00Z")].temperature for hour in (12, 13))
        assert found.current.temperature == pytest.approx(before + (after - before) / 4, abs=0.051)


def test_past_steps_end_with_the_present_one(url: str) -> None:
    with OpenMeteo(url, url, HASTY) as client:
        found = client.observe(stations()[:1], past_quarters=8, past_hours=72).stations["ewr"]
    assert found.quarters[-1] == found.current
    assert found.hours[-1].timestamp == datetime(2026, 7, 14, 12, tzinfo=UTC)
    assert found.hours[0].timestamp >= datetime(2026, 7, 11, 12, tzinfo=UTC)
    steps = {(b.timestamp - a.timestamp) for a, b in zip(found.quarters, found.quarters[1:], strict=False)}
    assert steps == {timedelta(minutes=15)}


def test_one_location_is_an_object_several_are_an_array(url: str) -> None:
    one = ask(url, **JFK, current=ALL, wind_speed_unit="ms").json()
    assert "location_id" not in one
    assert one["timezone"] == "GMT"
    assert one["current"]["interval"] == 900
    assert one["current"]["time"] == "2026-07-14T12:15"
    assert one["current_units"] == {"time": "iso8601", "interval": "seconds", **API_UNITS}
    many = ask(url, latitude="40.64,40.69,40.78", longitude="-73.78,-74.17,-73.87", current=ALL).json()
    assert [item.get("location_id") for item in many] == [None, 1, 2]
    assert [item["elevation"] for item in many] == [known_stations()[name].elevation for name in ("jfk", "ewr", "lga")]


def test_wind_is_in_kilometres_an_hour_unless_asked_otherwise(url: str) -> None:
    slow = ask(url, **JFK, current=ALL, wind_speed_unit="ms").json()
    fast = ask(url, **JFK, current=ALL).json()
    assert fast["current_units"]["wind_speed_10m"] == "km/h"
    assert fast["current"]["wind_speed_10m"] == pytest.approx(slow["current"]["wind_speed_10m"] * 3.6, abs=0.02)


def test_the_future_is_not_told(url: str) -> None:
    answer = ask(url, **JFK, hourly=ALL, past_hours="2", forecast_hours="4").json()["hourly"]
    assert answer["time"] == [f"2026-07-14T{hour}:00" for hour in range(10, 16)]
    known = [value is not None for value in answer["temperature_2m"]]
    assert known == [True, True, True, False, False, False]


def test_a_far_place_is_not_covered(url: str) -> None:
    denver = known_stations()["denver"]
    with OpenMeteo(url, url, HASTY) as client:
        observed = client.observe([denver, *stations()])
    assert set(observed.failures) == {"denver"}


def test_the_archive_holds_the_data_themselves(url: str) -> None:
    with OpenMeteo(url, url, HASTY) as client:
        table = client.archive(stations(), date(2013, 3, 1), date(2013, 3, 2))
    rows = read_nycflights13()
    rows = rows[(rows.hour >= "2013-03-01T00:00Z") & (rows.hour < "2013-03-03T00:00Z")]
    both = table.merge(rows, on=["station_id", "hour"], suffixes=("", "_file"))
    assert len(both) == len(rows) == len(table)
    assert (both.temperature - both.temperature_file).abs().max() <= 0.051
    assert (both.wind_speed - both.wind_speed_file).abs().max() <= 0.0051


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"latitude": "999", "longitude": "0"}, "Latitude must be in range of -90 to 90°. Given: 999.0."),
        ({"latitude": "1,2", "longitude": "0"}, "must have the same number of elements"),
        ({"latitude": "north", "longitude": "0"}, "must be numbers"),
        ({"latitude": "nan", "longitude": "0"}, "Latitude must be in range"),
        ({"longitude": "0"}, "Parameter 'latitude' is required"),
        ({**JFK, "current": "snow"}, "invalid String value snow"),
        ({**JFK, "hourly": ALL, "past_hours": "-3"}, "Parameter 'past_hours' is invalid"),
        ({**JFK, "hourly": ALL, "past_hours": "99999"}, "Parameter 'past_hours' is invalid"),
        ({**JFK, "timezone": "Europe/Berlin"}, "UTC only"),
        ({**JFK, "wind_speed_unit": "furlongs"}, "furlongs"),
    ],
)
def test_bad_requests_are_answered_with_a_reason(url: str, query: dict[str, str], reason: str) -> None:
    response = ask(url, **query)
    assert response.status_code == 400
    assert response.json()["error"] is True
    assert reason in response.json()["reason"]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2013-03-02", "2013-03-01"),
        ("spring", "2013-03-01"),
        ("0001-01-01", "9999-12-31"),
        ("2013-01-01", "2014-01-02"),  # a day longer than a year with a 29 February
    ],
)
def test_bad_days_of_the_archive(url: str, first: str, last: str) -> None:
    answer = ask(url, "/v1/archive", **JFK, start_date=first, end_date=last, hourly=ALL)
    assert answer.status_code == 400
    assert answer.json()["error"] is True
    assert "date" in answer.json()["reason"]


def test_a_year_of_the_archive_is_told(url: str) -> None:
    answer = ask(url, "/v1/archive", **JFK, start_date="2012-01-01", end_date="2012-12-31", hourly="temperature_2m")
    assert len(answer.json()["hourly"]["time"]) == 366 * 24


def test_another_path_is_not_found(url: str) -> None:
    assert ask(url, "/etc/passwd").json() == {"error": True, "reason": "Not Found"}


def test_health_tells_the_time_of_the_replay(url: str, moment: Moment) -> None:
    assert ask(url, "/health").json()["caught_up"] is True
    moment.now = CAUGHT_UP.started
    health = ask(url, "/health").json()
    assert health["caught_up"] is False
    assert health["time"] == "2026-07-11T12:22:33Z"


def test_values_are_missing_where_the_data_have_a_gap(url: str, moment: Moment) -> None:
    moment.now = datetime(2026, 10, 26, 3, 15, tzinfo=UTC)  # 2013-10-26 has nothing from 00 to 04 UTC
    with OpenMeteo(url, url, HASTY) as client:
        observed = client.observe(stations())
    assert set(observed.failures) == {"ewr", "jfk", "lga"}


@pytest.mark.integration
def test_the_process_says_when_it_is_ready_and_stops_at_term(settings: Settings) -> None:
    environment = os.environ | {
        "WEATHERGLASS_STATE_DIR": str(settings.state_dir),
        "WEATHERGLASS_REPLAY_PORT": str(settings.replay_port),
    }
    process = subprocess.Popen([sys.executable, "-m", "producer.replay"], env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert b"replay ready" in process.stdout.readline()
        assert ask(settings.replay_url, "/health").json()["stations"] == 3
        taken = subprocess.run([sys.executable, "-m", "producer.replay"], env=environment, capture_output=True)
        assert taken.returncode == 1
        assert b"WEATHERGLASS_REPLAY_PORT" in taken.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
