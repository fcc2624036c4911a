"""Station data for quality control in the stream: elevations and climate."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from weatherglass.files import DamagedFileError, read_json
from weatherglass.history.prepared import read_history, read_manifest
from weatherglass.jobs.folder import JobFolder
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.settings import Settings
from weatherglass.stations import StationsError, known_stations

log = logging.getLogger(__name__)

CACHE = "climate.json"


class QcParameterWatch:
    """Loads the parameters, and again when the station table or the prepared history has changed.

    Args:
        folder: of the job, for the cache.
    """

    def __init__(self, settings: Settings, folder: Path):
        self._settings, self._folder = settings, folder
        self._loading: Future[QcParameters] | None = None
        self._problem = ""
        self._inputs = self._read_inputs(None)
        self.parameters = load_qc_parameters(settings, folder)

    def changed(self) -> bool:
        """Whether `parameters` are others than at the last call. They are loaded in a thread, which takes seconds."""
        if self._loading is None:
            inputs = self._read_inputs(self._inputs)
            if inputs != self._inputs:
                self._inputs = inputs
                executor = ThreadPoolExecutor(1, thread_name_prefix="qc-parameters")
                self._loading = executor.submit(load_qc_parameters, self._settings, self._folder)
                executor.shutdown(wait=False)
            return False
        if not self._loading.done():
            return False
        loaded, self._loading = self._loading.result(), None
        before, self.parameters = self.parameters, loaded
        return loaded != before

    def _read_inputs(self, before: object) -> object:
        """What the parameters are computed from; `before` if a file is invalid, which is logged once."""
        try:
            stations = {name: (at.latitude, at.elevation) for name, at in known_stations(self._settings).items()}
            manifest = read_manifest(self._settings.history_dir)
        except (StationsError, DamagedFileError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("The stations and their climate stay as they are: %s", error)
            return before
        self._problem = ""
        return stations, manifest and manifest.fingerprint


def load_qc_parameters(settings: Settings, folder: Path) -> QcParameters:
    """Elevations and latitudes from the table of stations, and climate from the prepared history if there is one.

    The climate is cached in the job folder until another history is prepared, since computing it takes seconds. A
    damaged cache is computed again; a damaged history is logged, and counts as none.
    """
    stations = known_stations(settings)
    elevations = {name: at.elevation for name, at in stations.items() if at.elevation is not None}
    latitudes = {name: at.latitude for name, at in stations.items()}
    return QcParameters(_climate(settings, folder), elevations, latitudes)


def _climate(settings: Settings, folder: Path) -> dict[str, Any]:
    try:
        manifest = read_manifest(settings.history_dir)
        if manifest is None:
            return {}
        cached = _cached_climate(folder / CACHE, manifest.fingerprint)
        if cached is not None:
            return cached
        from weatherglass.history.climate_limits import climate_limits

        climate = climate_limits(read_history(settings.history_dir))
    except DamagedFileError as error:
        log.error("Checks against the climate are not made: %s", error)
        return {}
    JobFolder(folder).write_json(folder / CACHE, {"history": manifest.fingerprint, "climate": climate})
    return climate


def _cached_climate(cache: Path, fingerprint: str) -> dict[str, Any] | None:
    """The cached climate of a history; None if there is none or the cache is damaged."""

    def parse(content: Any) -> dict[str, Any] | None:
        return dict(content["climate"]) if content["history"] == fingerprint else None

    try:
        return read_json(cache, parse, "It is computed again")
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        log.warning("%s", error)
        return None
