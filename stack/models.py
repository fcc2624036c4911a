"""`weatherglass models export | import`: a registered model as one file, and back."""

from __future__ import annotations

import sys
from pathlib import Path

from weatherglass.models.artefact import ModelFileError
from weatherglass.models.parcel import ParcelError, pack, receive
from weatherglass.models.registry import CHAMPION, Registry
from weatherglass.settings import Settings

WHO = "weatherglass models import"


def export_model(settings: Settings, kind: str, version: str, file: Path) -> int:
    """Write a version (or `champion`) into a file; the exit status."""
    registry = Registry(settings)
    found = registry.champion(kind) if version == CHAMPION else registry.version(kind, version)
    if found is None:
        print(
            f"the registry has no {kind} {version}; `weatherglass status` and the page Models list them",
            file=sys.stderr,
        )
        return 1
    if file.exists():
        print(f"{file} exists already; choose another name or remove it", file=sys.stderr)
        return 1
    try:
        digest = pack(settings, found, file)
    except (ModelFileError, OSError) as error:
        print(f"{kind} {found.version} cannot be exported: {error}", file=sys.stderr)
        return 1
    print(f"{kind} {found.version} -> {file} ({file.stat().st_size:,} bytes)\nSHA-256 {digest}")
    return 0


def import_model(settings: Settings, file: Path, promote: bool) -> int:
    """Register the model of a file; it serves if asked to, or if there is no champion. The exit status."""
    registry = Registry(settings)
    try:
        about, version = receive(registry, file)
    except ParcelError as error:
        print(f"not imported: {error}", file=sys.stderr)
        return 1
    champion = registry.champion(about.kind)
    if promote or champion is None:
        why = f"imported from {file.name}, there version {about.exported_version}"
        registry.promote(about.kind, version, WHO, why, {})
        print(f"{about.kind} {version} is the champion now")
    else:
        print(f"registered as {about.kind} {version}; champion stays {champion.version} (--promote makes it serve)")
    return 0
