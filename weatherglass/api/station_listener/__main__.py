"""`python -m weatherglass.api.station_listener`: listen for consumer weather stations until TERM or Ctrl-C."""

from __future__ import annotations

import logging
import sys

import uvicorn

from weatherglass.api.app import utc_now
from weatherglass.api.request_deadline import DeadlineProtocol
from weatherglass.api.station_listener.app import ECOWITT_PATH, WEATHER_UNDERGROUND_PATH, create_listener
from weatherglass.settings import load_settings
from weatherglass.settings_errors import SettingsError, variable
from weatherglass.stations import StationsError, known_stations

MAX_CONNECTIONS = 500
MAX_REQUEST_BYTES = 65_536
"""Of a request with its headers; the parser of uvicorn has no limit."""


class LimitedProtocol(DeadlineProtocol):
    """A protocol that also closes connections whose request is too large."""

    _received = 0

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > MAX_REQUEST_BYTES:
            self.transport.abort()
        else:
            super().data_received(data)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._received = 0


def main() -> int:
    try:
        settings = load_settings()
        known_stations(settings)
    except (SettingsError, StationsError) as error:
        print(error, file=sys.stderr)
        return 1
    host, port = settings.station_listener_host, settings.station_listener_port
    if not host:
        print(f"No address to listen on; set {variable('station_listener_host')}", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    logging.info("Listening on %s port %d: %s and %s/", host, port, WEATHER_UNDERGROUND_PATH, ECOWITT_PATH)
    uvicorn.run(
        create_listener(settings, utc_now),
        host=host,
        port=port,
        access_log=False,  # it contains the query, and so the secret
        server_header=False,
        proxy_headers=False,  # else a client could choose the address whose failures are counted
        http=LimitedProtocol,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        log_level="warning",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
