"""Station data for quality control in the stream: elevations and climate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weatherglass.history.prepared import read_history, read_manifest
from weatherglass.jobs.folder import JobFolder
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.settings import Settings
from weatherglass.stations import known_stations


def load_qc_parameters(settings: Settings, folder: Path) -> QcParameters:
    """Elevations from the table of stations, and climate from the prepared history if there is one.

    The climate is cached in the job folder until another history is prepared, since computing it takes seconds.
    """
    elevations = {name: at.elevation for name, at in known_stations().items() if at.elevation is not None}
    return QcParameters(_climate(settings, folder), elevations)


def _climate(settings: Settings, folder: Path) -> dict[str, Any]:
    manifest = read_manifest(settings.history_dir)
    if manifest is None:
        return {}
    cache = folder / "climate.json"
    if cache.exists():
        content = json.loads(cache.read_text(encoding="utf-8"))
        if content["history"] == manifest.fingerprint:
            return dict(content["climate"])
    from weatherglass.history.climate_limits import climate_limits

    climate = climate_limits(read_history(settings.history_dir))
    JobFolder(folder).write_json(cache, {"history": manifest.fingerprint, "climate": climate})
    return climate
