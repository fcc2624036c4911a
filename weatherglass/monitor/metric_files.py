"""Files in the state folder through which the monitor and the API exchange metrics.

The monitor writes its newest sample, which the API serves at `/metrics`. Each API process writes its request counts,
which the monitor reads.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from weatherglass.alerts.health import MONITOR
from weatherglass.alerts.sample import MetricSample, exposition
from weatherglass.files import write_atomically
from weatherglass.settings import Settings

MAX_SAMPLE_AGE = timedelta(minutes=2)
"""An older sample is not served, because Prometheus would record it as current."""
PROCESS_EXPIRY = timedelta(days=1)
"""The file of an API process is deleted when it has not been written for this long."""


def write_exposition(folder: Path, sample: MetricSample) -> None:
    """Write the newest sample into the monitor's folder, in Prometheus' text format."""
    write_atomically(folder / "metrics.prom", exposition(sample), durable=False)


def read_exposition(settings: Settings, now: datetime) -> str:
    """The newest sample in Prometheus' text format; empty if there is none or it is older than `MAX_SAMPLE_AGE`."""
    file = settings.jobs_dir / MONITOR / "metrics.prom"
    try:
        if now.timestamp() - file.stat().st_mtime > MAX_SAMPLE_AGE.total_seconds():
            return ""
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def write_request_counts(settings: Settings, ok: int, errors: int) -> None:
    """Write the request counts of this API process, since its start, for the monitor."""
    folder = settings.state_dir / "api"
    folder.mkdir(parents=True, exist_ok=True)
    # The API runs in two containers of a cluster, where processes can have the same id.
    own_file = folder / f"requests-{socket.gethostname()}-{os.getpid()}.json"
    if not own_file.exists():
        _delete_expired(folder)
    write_atomically(own_file, json.dumps({"ok": ok, "errors": errors}), durable=False)


def _delete_expired(folder: Path) -> None:
    """Delete files of ended processes. By age, because a container cannot see the process ids of others."""
    for file in folder.glob("requests-*"):
        with suppress(FileNotFoundError):  # another process may delete it at the same time
            if time.time() - file.stat().st_mtime > PROCESS_EXPIRY.total_seconds():
                file.unlink()


def read_request_counts(settings: Settings) -> dict[str, tuple[int, int]]:
    """Successful requests and server errors, by API process."""
    counts_by_process = {}
    for file in (settings.state_dir / "api").glob("requests-*.json"):
        try:
            counts = json.loads(file.read_text(encoding="utf-8"))
            counts_by_process[file.stem] = int(counts["ok"]), int(counts["errors"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return counts_by_process
