"""HTTP server of the replay: `/v1/forecast`, `/v1/archive`, `/api/data/metar`, `/api/data/stationinfo`, `/faults`, and
`/health` for the launcher."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from producer.api_client import REPLAY_SERVER
from producer.replay.api import BadRequest, Replay
from producer.replay.guidance_api import guidance
from producer.replay.metar_api import metar, station_info
from weatherglass.records import iso


class ReplayServer(ThreadingHTTPServer):
    """Serves a replay; `now` returns the real time of each request."""

    daemon_threads = True

    def __init__(self, host: str, port: int, replay: Replay, now: Callable[[], datetime]):
        """Raises OSError if the port is in use."""
        self.replay = replay
        self.now = now
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: ReplayServer
    protocol_version = "HTTP/1.1"
    server_version = REPLAY_SERVER
    timeout = 60
    """Seconds after which an idle connection is closed."""

    def do_GET(self) -> None:
        try:
            self._send(*self._response())
        except (BrokenPipeError, ConnectionResetError):  # the client has closed the connection
            self.close_connection = True

    def _response(self) -> tuple[int, Any]:
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query))
        now, replay = self.server.now(), self.server.replay
        try:
            if address.path == "/v1/forecast" and "models" in query:
                return 200, guidance(replay, query, now)
            if address.path == "/v1/forecast":
                return 200, replay.forecast(query, now)
            if address.path == "/v1/archive":
                return 200, replay.archive(query, now)
            if address.path == "/api/data/metar":
                reports = metar(replay, query, now)
                return (200, reports) if reports else (204, None)
            if address.path == "/api/data/stationinfo":
                airports = station_info(replay, query)
                return (200, airports) if airports else (204, None)
            if address.path == "/faults":
                return 200, replay.labels(query, now)
        except BadRequest as error:
            if address.path == "/api/data/metar":
                return 400, {"status": "error", "error": str(error)}
            return 400, {"error": True, "reason": str(error)}
        if address.path == "/health":
            return 200, {
                "status": "ok",
                "time": iso(replay.clock.time(now)),
                "caught_up": replay.clock.caught_up(now),
                "data": replay.data.name,
                "stations": len(replay.data.stations),
                "faults": replay.faults.share if replay.faults else 0.0,
            }
        return 404, {"error": True, "reason": "Not Found"}

    def _send(self, status: int, content: Any) -> None:
        body = b""
        if status != HTTPStatus.NO_CONTENT:
            body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Suppress the log line of each request."""
