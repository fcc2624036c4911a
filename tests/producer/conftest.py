"""An HTTP server that imitates the API of a source, with responses in the format of Open-Meteo, and with failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from producer.api_client import RetryPolicy
from producer.open_meteo import OpenMeteo
from producer.open_meteo_schema import API_UNITS
from producer.topic_bootstrap import bootstrap_topics
from tests.conftest import TestBroker, make_settings
from tests.producer.topic_reader import TopicReader, reading
from weatherglass.settings import Settings
from weatherglass.stations import Station, bundled_stations
from weatherglass.store.migrate import migrate

FAST_RETRIES = RetryPolicy(connect_seconds=20, read_seconds=20, attempts=3, max_wait_seconds=0.01)
"""Retries immediately, with generous timeouts for a slow machine."""
TIMEOUT_REACHED = "Unexpected error while streaming data: timeoutReached"
"""The server appends it to a response that it has begun. Source: open-meteo/open-meteo, issue 1771."""


@dataclass
class FakeApi:
    """The responses of the server and the requests that it received.

    Attributes:
        responses: returned one after the other, the last one repeatedly; None sends no response until the test ends.
        respond: makes the response to a query instead of `responses`.
        queries: query parameters of each request.
        paths: path of each request.
        user_agents: header `User-Agent` of each request.
        ended: set when the test ends.
    """

    responses: list[tuple[int, str | bytes] | None]
    respond: Callable[[dict[str, str]], tuple[int, str | bytes]] | None = None
    queries: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    user_agents: list[str | None] = field(default_factory=list)
    url: str = ""
    ended: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def fake_api() -> Iterator[FakeApi]:
    fake = FakeApi([])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            fake.paths.append(address.path)
            fake.user_agents.append(self.headers["User-Agent"])
            fake.queries.append(dict(parse_qsl(address.query)))
            if fake.respond:
                response: tuple[int, str | bytes] | None = fake.respond(fake.queries[-1])
            else:
                response = fake.responses[min(len(fake.queries), len(fake.responses)) - 1]
            if response is None:
                fake.ended.wait()
                return
            status, body = response
            body = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield fake
    fake.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(fake_api: FakeApi) -> Iterator[OpenMeteo]:
    with OpenMeteo(fake_api.url, fake_api.url, FAST_RETRIES) as open_meteo:
        yield open_meteo


@pytest.fixture
def stations() -> tuple[Station, ...]:
    known = bundled_stations()
    return known["denver"], known["boston"], known["miami"]


@pytest.fixture
def reader(broker: TestBroker) -> Iterator[TopicReader]:
    bootstrap_topics(broker.settings, log=lambda _: None)
    with reading(broker.bootstrap_servers) as reader:
        yield reader


@pytest.fixture
def settings_of(tmp_path: Path, broker: TestBroker) -> Callable[..., Settings]:
    """A factory of settings with a new store and the shared broker."""

    def make(**overrides: object) -> Settings:
        settings = make_settings(tmp_path / "state", kafka_bootstrap=broker.bootstrap_servers, **overrides)
        migrate(settings.store_url)
        return settings

    return make


VALUES = {
    "temperature_2m": 16.7,
    "relative_humidity_2m": 72,
    "surface_pressure": 837.6,
    "wind_speed_10m": 3.74,
    "wind_direction_10m": 164,
}


def location(
    number: int = 0,
    time: str = "2026-09-25T23:00",
    past_quarter_hours: int = 0,
    past_hours: int = 0,
    **changed: Any,
) -> dict[str, Any]:
    """One location in the format of the API; `changed` replaces values of `current`.

    All locations have the coordinates of the same grid cell, so that joining by coordinates fails.
    """
    response: dict[str, Any] = {
        "latitude": 39.746895,
        "longitude": -104.987076,
        "generationtime_ms": 0.07,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "timezone_abbreviation": "GMT",
        "elevation": 1599.0,
        "current_units": {"time": "iso8601", "interval": "seconds", **API_UNITS},
        "current": {"time": time, "interval": 900, **VALUES, **changed},
    }
    if number:
        response["location_id"] = number
    for section, steps, step in (
        ("minutely_15", past_quarter_hours, timedelta(minutes=15)),
        ("hourly", past_hours, timedelta(hours=1)),
    ):
        if steps:
            times = [datetime.fromisoformat(time) - number * step for number in range(steps, -1, -1)]
            response[f"{section}_units"] = {"time": "iso8601", **API_UNITS}
            response[section] = {
                "time": [moment.strftime("%Y-%m-%dT%H:%M") for moment in times],
                **{name: [value] * len(times) for name, value in VALUES.items()},
            }
    return response


def three_locations(**changed: Any) -> list[dict[str, Any]]:
    return [location(number, **changed) for number in range(3)]


def ok_response(content: Any) -> tuple[int, str]:
    return 200, json.dumps(content)


def error_response(status: int, reason: str) -> tuple[int, str]:
    return status, json.dumps({"error": True, "reason": reason})
