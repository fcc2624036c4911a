"""The endpoints of the API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote


def get_paths(app: Any, station_id: str) -> list[str]:
    """The paths of all GET endpoints without other parameters than a station; the event stream excluded."""
    paths = [path for path, item in app.openapi()["paths"].items() if "get" in item and path != "/events"]
    with_station = [path for path in paths if path.count("{") == path.count("{station_id}")]
    return [path.replace("{station_id}", quote(station_id, safe="")) for path in with_station]
