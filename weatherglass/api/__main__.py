"""The standalone API server: `python -m weatherglass.api`."""

from __future__ import annotations

import gc
import sys

import uvicorn

from weatherglass.api.app import create_app
from weatherglass.api.auth import local_only, require_token
from weatherglass.api.dashboard.login import add_login
from weatherglass.api.request_deadline import DeadlineProtocol
from weatherglass.api.sessions import Sessions
from weatherglass.settings import load_settings
from weatherglass.settings_errors import SettingsError
from weatherglass.stations import StationsError, known_stations

MAX_CONNECTIONS = 1_000
"""Further requests are answered with 503."""


def main() -> int:
    try:
        settings = load_settings()
        known_stations(settings)
    except (SettingsError, StationsError) as error:
        print(error, file=sys.stderr)
        return 1
    token, sessions = settings.api_token, Sessions()
    app = create_app(settings, require_access=require_token(token, sessions) if token else local_only)
    if token:
        add_login(app, token, sessions)
    # Exclude long-lived objects from garbage collection, because full collections would delay requests.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,
        server_header=False,
        http=DeadlineProtocol,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
