"""Simulated guidance over HTTP, with the project's client and with plain requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests

from producer.guidance_client import HORIZON_HOURS, GuidanceClient
from producer.replay.api import Replay
from producer.replay.clock import ReplayClock
from producer.replay.data import load_data
from producer.replay.guidance import SimulatedGuidance
from producer.replay.server import ReplayServer
from tests.producer.conftest import FAST_RETRIES
from weatherglass.history.sources.nycflights13 import stations
from weatherglass.settings import LOOPBACK, Settings

NOW = datetime(2026, 7, 14, 12, 22, 33, tzinfo=UTC)
PRESENT_HOUR = datetime(2026, 7, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CAUGHT_UP = ReplayClock(NOW - timedelta(days=2), NOW - timedelta(days=3), 60)
DATA = load_data(Settings())
JFK = {"latitude": "40.64", "longitude": "-73.78", "models": "best_match"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ReplayServer(LOOPBACK, 0, Replay(DATA, CAUGHT_UP), lambda: NOW)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://{LOOPBACK}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(url: str) -> Iterator[GuidanceClient]:
    with GuidanceClient(url, FAST_RETRIES) as client:
        yield client


def test_guidance_reaches_into_the_future_and_is_marked_as_replayed(client: GuidanceClient) -> None:
    response = client.guidance(stations(), "best_match")
    assert client.replayed
    assert set(response.stations) == {"ewr", "jfk", "lga"}
    assert response.refusals == []
    times = [PRESENT_HOUR + number * HOUR for number in range(HORIZON_HOURS)]
    simulated = SimulatedGuidance(DATA)
    run = simulated.newest_run("best_match", NOW)
    for number, station in enumerate(stations()):
        values = response.stations[station.station_id]
        assert values.valid_times == times
        expected = simulated.values(number, "best_match", [run] * len(times), times)
        assert values.temperature == [None if value != value else value for value in expected[:, 0]]


def test_each_location_says_that_it_is_simulated(url: str) -> None:
    content = requests.get(f"{url}/v1/forecast", params={**JFK, "hourly": "temperature_2m"}, timeout=120).json()
    assert content["simulated"] is True
    assert len(content["hourly"]["time"]) == 7 * 24
    assert content["hourly_units"]["temperature_2m"] == "°C"


def test_a_location_far_from_all_stations_is_not_covered(url: str) -> None:
    query = {"latitude": "10", "longitude": "10", "models": "best_match", "hourly": "temperature_2m"}
    content = requests.get(f"{url}/v1/forecast", params=query, timeout=120).json()
    assert set(content["hourly"]["temperature_2m"]) == {None}


@pytest.mark.parametrize(
    "changed",
    [
        {"models": "best_match,gfs_seamless"},
        {"hourly": "snowfall"},
        {"timezone": "Europe/Berlin"},
    ],
)
def test_invalid_queries_are_rejected(url: str, changed: dict[str, str]) -> None:
    query = {**JFK, "hourly": "temperature_2m", **changed}
    response = requests.get(f"{url}/v1/forecast", params=query, timeout=120)
    assert response.status_code == 400
    assert response.json()["error"] is True
