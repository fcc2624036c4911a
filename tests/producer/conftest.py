"""A real HTTP server that plays Open-Meteo's good and bad days, and answers in the API's shapes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from producer.open_meteo import OpenMeteo, RetryPolicy
from producer.open_meteo_schema import API_UNITS
from weatherglass.stations import Station, known_stations

HASTY = RetryPolicy(connect_seconds=20, read_seconds=20, attempts=3, longest_wait_seconds=0.01)
"""Asks again at once, but gives a slow machine its time."""


@dataclass
class Play:
    """Answers one after the other, the last one again and again; `None` is silence until the client gives up."""

    answers: list[tuple[int, str | bytes] | None]
    asked: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def play() -> Iterator[Play]:
    playing = Play([])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            playing.paths.append(address.path)
            playing.asked.append(dict(parse_qsl(address.query)))
            answer = playing.answers[min(len(playing.asked), len(playing.answers)) - 1]
            if answer is None:
                playing.over.wait()
                return
            status, body = answer
            body = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    playing.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield playing
    playing.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(play: Play) -> Iterator[OpenMeteo]:
    with OpenMeteo(play.url, play.url, HASTY) as open_meteo:
        yield open_meteo


@pytest.fixture
def stations() -> tuple[Station, ...]:
    known = known_stations()
    return known["denver"], known["boston"], known["miami"]


VALUES = {
    "temperature_2m": 16.7,
    "relative_humidity_2m": 72,
    "surface_pressure": 837.6,
    "wind_speed_10m": 3.74,
    "wind_direction_10m": 164,
}


def location(number: int = 0, time: str = "2026-09-25T23:00", past_quarters: int = 0, **changed: Any) -> dict[str, Any]:
    """One location as the API answers it; `changed` replaces values of `current`.

    The coordinates are those of some grid cell, the same for all: nobody may join by them.
    """
    answer: dict[str, Any] = {
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
        answer["location_id"] = number
    if past_quarters:
        now = datetime.fromisoformat(time)
        times = [now - timedelta(minutes=15) * step for step in range(past_quarters, -1, -1)]
        answer["minutely_15_units"] = {"time": "iso8601", **API_UNITS}
        answer["minutely_15"] = {
            "time": [moment.strftime("%Y-%m-%dT%H:%M") for moment in times],
            **{name: [value] * len(times) for name, value in VALUES.items()},
        }
    return answer


def three_locations(**changed: Any) -> list[dict[str, Any]]:
    return [location(number, **changed) for number in range(3)]


def good(content: Any) -> tuple[int, str]:
    return 200, json.dumps(content)


def error(status: int, reason: str) -> tuple[int, str]:
    return status, json.dumps({"error": True, "reason": reason})
