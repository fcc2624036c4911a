"""Station data for quality control in the stream: elevations and climate."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from weatherglass.files import DamagedFileError, read_json
from weatherglass.history.prepared import MANIFEST, read_history, read_manifest
from weatherglass.jobs.folder import JobFolder
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.settings import Settings
from weatherglass.stations import StationsError, known_stations

log = logging.getLogger(__name__)

CACHE = "climate.json"


class QcParameterWatch:
    """Loads the parameters, and again when the station table or the prepared history has changed.

    A file that is invalid meanwhile, or a load that fails, leaves the parameters as they are.

    Args:
        folder: of the job, for the cache.
    """

    def __init__(self, settings: Settings, folder: Path):
        self._settings, self._folder = settings, folder
        self._loading: Thread | None = None
        self._loaded: QcParameters | None = None
        self._problem = ""
        self._inputs: tuple[object, object] | None = self._read_inputs(None)
        self.parameters = load_qc_parameters(settings, folder)

    @property
    def is_loading(self) -> bool:
        return self._loading is not None

    def changed(self) -> bool:
        """Whether `parameters` are others than at the last call. They are loaded in a thread, which takes seconds."""
        if self._loading is None:
            inputs = self._read_inputs(self._inputs)
            if inputs != self._inputs:
                self._inputs = inputs
                self._loading = Thread(target=self._load, name="qc-parameters", daemon=True)
                self._loading.start()
            return False
        if self._loading.is_alive():
            return False
        loaded, self._loading, self._loaded = self._loaded, None, None
        if loaded is None:
            self._inputs = None  # try again
            return False
        before, self.parameters = self.parameters, loaded
        return loaded != before

    def _load(self) -> None:
        try:
            self._loaded = load_qc_parameters(self._settings, self._folder, self.parameters.climate)
        except Exception:  # the job goes on with the parameters it has
            log.exception("The stations and their climate stay as they are")

    def _read_inputs(self, before: tuple[object, object] | None) -> tuple[object, object]:
        """What the parameters are computed from: the stations, and the version of the history.

        That of `before` where a file is invalid, which is logged once.
        """
        stations, history = before or (None, None)
        problems = []
        try:
            stations = {name: (at.latitude, at.elevation) for name, at in known_stations(self._settings).items()}
        except (StationsError, OSError) as error:
            problems.append(str(error))
        try:
            manifest = read_manifest(self._settings.history_dir)
            written = manifest and (self._settings.history_dir / MANIFEST).stat().st_mtime_ns
            history = manifest and (manifest.fingerprint, written)
        except (DamagedFileError, OSError) as error:
            problems.append(str(error))
        problem = "; ".join(problems)
        if problem and problem != self._problem:
            log.error("Stations or climate stay as they are: %s", problem)
        self._problem = problem
        return stations, history


def load_qc_parameters(
    settings: Settings, folder: Path, previous_climate: Mapping[str, Any] | None = None
) -> QcParameters:
    """Elevations and latitudes from the table of stations, and climate from the prepared history if there is one.

    The climate is cached in the job folder until another history is prepared, since computing it takes seconds. A
    damaged cache is computed again; a damaged history is logged, and leaves the previous climate, by default none.
    """
    stations = known_stations(settings)
    elevations = {name: at.elevation for name, at in stations.items() if at.elevation is not None}
    latitudes = {name: at.latitude for name, at in stations.items()}
    climate = _climate(settings, folder, dict(previous_climate or {}))
    return QcParameters(climate, elevations, latitudes)


def _climate(settings: Settings, folder: Path, previous: dict[str, Any]) -> dict[str, Any]:
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
        log.error("The climate of the history is not used: %s", error)
        return previous
    try:
        JobFolder(folder).write_json(folder / CACHE, {"history": manifest.fingerprint, "climate": climate})
    except OSError as error:
        log.warning("The climate is computed again at the next start: %s", error)
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
