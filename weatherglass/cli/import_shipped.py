"""`weatherglass models import-shipped`: register the models in the package. The first start runs it.

The files are those whose SHA-256 the package states, and the tests load each of them. Here they are not loaded, because
importing the libraries for that would take seconds of the first start; inference validates them like any new version.
"""

from __future__ import annotations

import sys
from datetime import datetime

from weatherglass.files import DamagedFileError
from weatherglass.registry.bundle import BundleError, import_bundle
from weatherglass.registry.provenance import ProvenanceError
from weatherglass.registry.registry import Registry
from weatherglass.registry.shipped import KINDS, shipped_models
from weatherglass.settings import Settings

COMMAND = "weatherglass models import-shipped"
NOT_LOADED = dict.fromkeys(KINDS, lambda _: None)


def import_shipped(settings: Settings, now: datetime) -> int:
    """Register and promote the shipped models of kinds without a champion, and return the exit status."""
    registry = Registry(settings)
    try:
        for model in shipped_models(settings, now):
            if registry.champion(model.kind) is None:
                _, version = import_bundle(registry, model.file, NOT_LOADED, model.sha256)
                registry.promote(model.kind, version, COMMAND, f"shipped with Weatherglass as {model.file.name}", {})
                print(f"Registered {model.kind} {version} from {model.file.name}", flush=True)
    except (DamagedFileError, BundleError, ProvenanceError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
