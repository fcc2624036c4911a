"""The earlier trainings in the registry: on which history they were, and whether a training would repeat one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from weatherglass.files import DamagedFileError
from weatherglass.history.new_data import NewData, new_data
from weatherglass.history.prepared import Manifest, read_manifest
from weatherglass.registry.catalog import RegisteredModel, registered_models
from weatherglass.registry.registry import FORECASTER, IMPORTED, Registry
from weatherglass.settings import Settings

log = logging.getLogger(__name__)


def describe_new_data(settings: Settings, manifest: Manifest) -> str:
    """Return what is new in a history since the last training, as text."""
    last = new_since_last_training(settings, manifest)
    return f"new since version {last[0]}: {last[1]}" if last else "no earlier training to compare the history with"


def new_since_last_training(settings: Settings, manifest: Manifest) -> tuple[str, NewData] | None:
    """Return the version of the newest forecaster whose history is known, and what is new since; None if there is none.

    It is unknown for versions that were imported, or trained before the manifest was kept with the run.
    """
    registry = Registry(settings)
    for model in _forecasters(settings):
        version = registry.version(FORECASTER, model.version)
        if version is None:
            continue
        try:
            before = read_manifest(registry.run_files(version))
        except DamagedFileError as error:
            log.warning("%s", error)
            continue
        if before is not None and before.station_hours:
            return model.version, new_data(before, manifest)
    return None


def repeated_training(settings: Settings, manifest: Manifest, size: str, code: str) -> str | None:
    """Return the version of the forecaster that has been trained on the same history, in this size, by this code."""
    same = {"data_fingerprint": manifest.fingerprint, "size": size, "code_version": code}
    for model in _forecasters(settings):
        if all(model.tags.get(name) == value for name, value in same.items()):
            return model.version
    return None


def trained_on(settings: Settings, manifest: Manifest, sizes: Sequence[str] | None = None) -> str | None:
    """Return the newest forecaster that was trained on this history, in one of the sizes; None if there is none."""
    for model in _forecasters(settings):
        if model.tags.get("data_fingerprint") == manifest.fingerprint and (
            sizes is None or model.tags.get("size") in sizes
        ):
            return model.version
    return None


def last_training_hour(tags: Mapping[str, str]) -> np.datetime64 | None:
    """Return the last hour that the trees of a version were trained on, if known, UTC.

    A refit keeps those of an earlier training.
    """
    hour = tags.get("trees_last_hour", tags.get("data_last_hour"))
    return np.datetime64(hour.removesuffix("Z"), "h") if hour else None


def last_fitted_hour(tags: Mapping[str, str]) -> np.datetime64 | None:
    """Return the last hour that any part of a version was fitted on, if known, UTC: a refit fits all but the trees."""
    hour = tags.get("data_last_hour")
    return np.datetime64(hour.removesuffix("Z"), "h") if hour else None


def _forecasters(settings: Settings) -> Sequence[RegisteredModel]:
    """Those that this installation has trained, the newest first: imported ones may lack a part of their history."""
    return [m for m in registered_models(settings) if m.kind == FORECASTER and IMPORTED not in m.tags]
