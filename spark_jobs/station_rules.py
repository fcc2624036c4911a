"""What quality control in the stream knows of the stations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weatherglass.history.prepared import read_history, read_manifest
from weatherglass.jobs.folder import JobFolder
from weatherglass.qc.observation_checks import Rules
from weatherglass.settings import Settings
from weatherglass.stations import known_stations


def station_rules(settings: Settings, folder: Path) -> Rules:
    """Elevations from the table of stations, climate from the prepared history, where there is one.

    The climate is kept in the job's folder until another history is prepared, since computing it takes seconds.
    """
    elevations = {name: at.elevation for name, at in known_stations().items() if at.elevation is not None}
    return Rules(_climate(settings, folder), elevations)


def _climate(settings: Settings, folder: Path) -> dict[str, Any]:
    manifest = read_manifest(settings.history_dir)
    if manifest is None:
        return {}
    kept = folder / "climate.json"
    if kept.exists():
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["history"] == manifest.fingerprint:
            return dict(known["climate"])
    from weatherglass.history.climate_limits import climate_of

    climate = climate_of(read_history(settings.history_dir))
    JobFolder(folder).write_json(kept, {"history": manifest.fingerprint, "climate": climate})
    return climate
