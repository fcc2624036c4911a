"""How the watcher and the API exchange what they have measured: two small files in the state folder."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from weatherglass.alerts.health import WATCHER
from weatherglass.alerts.sample import MetricSample, exposition
from weatherglass.files import write_atomically
from weatherglass.settings import Settings

FRESH = timedelta(minutes=2)
"""A sample older than this is not shown: Prometheus would take it for the present."""
FORGOTTEN = timedelta(days=1)
"""An API process that has not said anything for so long is taken to have ended."""


def write_exposition(folder: Path, sample: MetricSample) -> None:
    """Leave the newest sample in the watcher's folder, as text for Prometheus."""
    write_atomically(folder / "metrics.prom", exposition(sample))


def read_exposition(settings: Settings, now: datetime) -> str:
    """The newest sample; nothing where there is none, or only an old one."""
    file = settings.jobs_dir / WATCHER / "metrics.prom"
    try:
        if now.timestamp() - file.stat().st_mtime > FRESH.total_seconds():
            return ""
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def write_answers(settings: Settings, ok: int, errors: int) -> None:
    """Say how many requests this API process has answered, for the watcher. Counts since the process's start."""
    folder = settings.state_dir / "api"
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / f"answers-{os.getpid()}.json"
    if not own.exists():
        _forget_ended(folder)
    write_atomically(own, json.dumps({"ok": ok, "errors": errors}))


def _forget_ended(folder: Path) -> None:
    """Files of processes that have answered nothing for a day. By time, since a container cannot see others' ids."""
    for file in folder.glob("answers-*"):
        with suppress(FileNotFoundError):  # another process tidies up too
            if time.time() - file.stat().st_mtime > FORGOTTEN.total_seconds():
                file.unlink()


def read_answers(settings: Settings) -> dict[str, tuple[int, int]]:
    """Requests answered well, and with an error of the API's own, by process."""
    found = {}
    for file in (settings.state_dir / "api").glob("answers-*.json"):
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            found[file.stem] = int(said["ok"]), int(said["errors"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
