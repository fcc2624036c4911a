"""`weatherglass models`: list, promote, roll back, export, import and browse models.

Every change of the champion or the challenger is logged with the user's name and the reason.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.net import accepts_connections
from weatherglass.records import iso
from weatherglass.registry import provenance
from weatherglass.registry.artifact import ModelFileError
from weatherglass.registry.bundle import BundleError, export_bundle, import_bundle
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.provenance import ProvenanceError
from weatherglass.registry.registry import (
    ANOMALY_DETECTOR,
    CHAMPION,
    FORECASTER,
    GUIDANCE,
    KINDS,
    MLFLOW_ENVIRONMENT,
    Registry,
)
from weatherglass.settings import LOOPBACK, Settings

LOADERS = {
    FORECASTER: BoostedForecaster.load,
    ANOMALY_DETECTOR: AnomalyDetector.load,
    GUIDANCE: GuidanceCombination.load,
}
IMPORT_COMMAND = "weatherglass models import"
NOTHING_IMPORTED = (
    "Nothing was imported. Get the file again from its producer and compare its SHA-256, or export the model again "
    "with the version of Weatherglass that imports it."
)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run a subcommand and return the exit status."""
    match options.action:
        case "list":
            return list_models(settings)
        case "export":
            return export_model(settings, options.kind, options.version, options.file, options.private_key)
        case "import":
            return import_model(settings, options.file, options.promote, options.sha256, options.public_key)
        case "ui":
            return show_in_mlflow(settings, options.port)
    try:
        _change_alias(settings, options)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def list_models(settings: Settings) -> int:
    """Print the versions with their aliases or the reason of their quarantine, and the promotion log."""
    registry = Registry(settings)
    quarantined = {(kind, version): reason for kind in KINDS for version, reason in registry.quarantined(kind).items()}
    for model in registered_models(settings):
        reason = quarantined.get((model.kind, model.version))
        status = f"in quarantine: {reason}" if reason else ", ".join(model.aliases)
        print(f"{model.kind:<17}{model.version:>4}  {iso(model.created_at)}  {status}".rstrip())
    for entry in registry.promotions():
        versions = f"{entry.from_version or 'none'} -> {entry.to_version or 'none'}"
        print(f"{iso(entry.at)}  {entry.kind} {entry.action.value} {versions} by {entry.changed_by}: {entry.reason}")
    return 0


def _change_alias(settings: Settings, options: argparse.Namespace) -> None:
    registry, user = Registry(settings), getpass.getuser()
    if options.action == "rollback":
        entry = registry.roll_back(options.kind, user, options.reason)
        print(f"{entry.kind}: rolled back from version {entry.from_version} to version {entry.to_version}")
        return
    if options.action == "withdraw":
        registry.withdraw(options.kind, user, options.reason, {})
        return
    if registry.version(options.kind, options.version) is None:
        versions = ", ".join(m.version for m in registered_models(settings) if m.kind == options.kind) or "none"
        raise LookupError(f"{options.kind} version {options.version} not found; registered versions: {versions}")
    change = registry.promote if options.action == "promote" else registry.challenge
    change(options.kind, options.version, user, options.reason, {})


def export_model(settings: Settings, kind: str, version: str, file: Path, private_key: Path | None = None) -> int:
    """Export a version number or `champion` to a new file and return the exit status.

    Args:
        private_key: PEM file of the Ed25519 key that signs the file.
    """
    registry = Registry(settings)
    model = registry.champion(kind) if version == CHAMPION else registry.version(kind, version)
    if model is None:
        print(f"{kind} {version} not found; `weatherglass models list` shows all versions", file=sys.stderr)
        return 1
    if file.exists():
        print(f"{file} already exists; choose another name or remove the file", file=sys.stderr)
        return 1
    try:
        key = None if private_key is None else provenance.load_private_key(private_key)
        digest = export_bundle(settings, model, file, LOADERS)
        print(f"{kind} {model.version} -> {file} ({file.stat().st_size:,} bytes)\nSHA-256 {digest}")
        if key is not None:
            print(f"Signature {provenance.sign(file, key)}")
    except (ModelFileError, BundleError, ProvenanceError, OSError) as error:
        print(f"Cannot export {kind} {model.version}: {error}", file=sys.stderr)
        return 1
    return 0


def import_model(
    settings: Settings,
    file: Path,
    promote: bool,
    sha256: str | None = None,
    public_key: Path | None = None,
) -> int:
    """Register the model of a file and return the exit status.

    The model becomes champion with `promote`, or if there is no champion.

    Args:
        sha256, public_key: see `bundle.import_bundle`.
    """
    registry = Registry(settings)
    try:
        info, version = import_bundle(registry, file, LOADERS, sha256, public_key)
    except (BundleError, ProvenanceError) as error:
        print(f"Import failed: {error}\n{NOTHING_IMPORTED}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Import failed: {error}; the file itself is valid", file=sys.stderr)
        return 1
    champion = registry.champion(info.kind)
    if promote or champion is None:
        reason = f"imported from {file.name}, exported as version {info.exported_version}"
        registry.promote(info.kind, version, IMPORT_COMMAND, reason, {})
        print(f"Imported {info.kind} {version}, which is now champion")
    else:
        print(f"Imported {info.kind} {version}; version {champion.version} stays champion (--promote to change that)")
    return 0


def show_in_mlflow(settings: Settings, port: int) -> int:
    """Replace this process by MLflow's server, on loopback; return the exit status if it cannot be started.

    The address of the database, which may contain a password, is in the environment and not in the arguments.
    """
    if not registered_models(settings):
        print("No models yet: the DAG train_models registers the first ones", file=sys.stderr)
        return 1
    if accepts_connections(f"{LOOPBACK}:{port}"):
        print(f"Port {port} is in use; choose another one with --port", file=sys.stderr)
        return 1
    environment = {
        **os.environ,
        **MLFLOW_ENVIRONMENT,
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow_url,
        "MLFLOW_REGISTRY_STORE_URI": settings.mlflow_url,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": (settings.artifacts_dir / "runs").as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    print(f"MLflow: http://{LOOPBACK}:{port} (without a login, for this machine only; Ctrl-C ends it)", flush=True)
    program = str(Path(sys.executable).parent / "mlflow")
    arguments = ["server", "--host", LOOPBACK, "--port", str(port), "--workers", "1", "--no-serve-artifacts"]
    return os.execve(program, [program, *arguments], environment)  # noqa: S606
