"""`weatherglass models …`: the registry by hand, and a registered model as one file.

Every change of who serves is a line of the log of promotions, with the user's name and the reason.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.records import iso
from weatherglass.registry.artifact import ModelFileError
from weatherglass.registry.bundle import BundleError, export_bundle, import_bundle
from weatherglass.registry.catalog import registered
from weatherglass.registry.registry import ANOMALY_DETECTOR, CHAMPION, FORECASTER, KINDS, NothingToRollBackTo, Registry
from weatherglass.settings import Settings

LOADERS = {FORECASTER: BoostedForecaster.load, ANOMALY_DETECTOR: AnomalyDetector.load}
WHO_IMPORTS = "weatherglass models import"


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do what was asked for; the exit status."""
    match options.action:
        case "list":
            return list_models(settings)
        case "export":
            return export_model(settings, options.kind, options.version, options.file)
        case "import":
            return import_model(settings, options.file, options.promote)
    try:
        _change(settings, options)
    except (NothingToRollBackTo, LookupError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def list_models(settings: Settings) -> int:
    """Print the versions, what is in quarantine and why, and the log of promotions."""
    registry = Registry(settings)
    refused = {(kind, version): why for kind in KINDS for version, why in registry.refused(kind).items()}
    for model in registered(settings):
        state = refused.get((model.kind, model.version))
        said = f"in quarantine: {state}" if state else ", ".join(model.aliases)
        print(f"{model.kind:<17}{model.version:>4}  {iso(model.created_at)}  {said}".rstrip())
    for line in registry.promotions():
        moved = f"{line.from_version or 'none'} -> {line.to_version or 'none'}"
        print(f"{iso(line.at)}  {line.kind} {line.action.value} {moved} by {line.who}: {line.why}")
    return 0


def _change(settings: Settings, options: argparse.Namespace) -> None:
    registry, who = Registry(settings), getpass.getuser()
    if options.action == "rollback":
        done = registry.roll_back(options.kind, who, options.reason)
        print(f"{done.kind} version {done.to_version} serves again instead of {done.from_version}")
        return
    if options.action == "withdraw":
        registry.withdraw(options.kind, who, options.reason, {})
        return
    if registry.version(options.kind, options.version) is None:
        known = ", ".join(m.version for m in registered(settings) if m.kind == options.kind) or "none"
        raise LookupError(f"there is no {options.kind} version {options.version}; registered are: {known}")
    change = registry.promote if options.action == "promote" else registry.challenge
    change(options.kind, options.version, who, options.reason, {})


def export_model(settings: Settings, kind: str, version: str, file: Path) -> int:
    """Write a version (or `champion`) into a file; the exit status."""
    registry = Registry(settings)
    found = registry.champion(kind) if version == CHAMPION else registry.version(kind, version)
    if found is None:
        print(f"the registry has no {kind} {version}; `weatherglass models list` shows what it has", file=sys.stderr)
        return 1
    if file.exists():
        print(f"{file} exists already; choose another name or remove it", file=sys.stderr)
        return 1
    try:
        digest = export_bundle(settings, found, file, LOADERS)
    except (ModelFileError, OSError) as error:
        print(f"{kind} {found.version} cannot be exported: {error}", file=sys.stderr)
        return 1
    print(f"{kind} {found.version} -> {file} ({file.stat().st_size:,} bytes)\nSHA-256 {digest}")
    return 0


def import_model(settings: Settings, file: Path, promote: bool) -> int:
    """Register the model of a file; it serves if asked to, or if there is no champion. The exit status."""
    registry = Registry(settings)
    try:
        about, version = import_bundle(registry, file, LOADERS)
    except BundleError as error:
        print(f"not imported: {error}", file=sys.stderr)
        return 1
    champion = registry.champion(about.kind)
    if promote or champion is None:
        why = f"imported from {file.name}, there version {about.exported_version}"
        registry.promote(about.kind, version, WHO_IMPORTS, why, {})
        print(f"{about.kind} {version} is the champion now")
    else:
        print(f"registered as {about.kind} {version}; champion stays {champion.version} (--promote makes it serve)")
    return 0
