"""The standalone API server: `python -m weatherglass.api`."""

from __future__ import annotations

import gc
import sys

import uvicorn

from weatherglass.api.app import create_app
from weatherglass.api.auth import local_only, require_token
from weatherglass.api.dashboard.login import add_login
from weatherglass.settings import SettingsError, load_settings
from weatherglass.stations import StationsError, known_stations


def main() -> int:
    try:
        settings = load_settings()
        known_stations()
    except (SettingsError, StationsError) as error:
        print(error, file=sys.stderr)
        return 1
    token = settings.api_token
    app = create_app(settings, require_access=require_token(token) if token else local_only)
    if token:
        add_login(app, token)
    # Exclude long-lived objects from garbage collection, because full collections would delay requests.
    gc.collect()
    gc.freeze()
    uvicorn.run(app, host=settings.api_host, port=settings.api_port, server_header=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
