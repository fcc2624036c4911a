"""The job's side of its folder: heartbeat, progress, stop requests and exit report of every long-lived job."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from weatherglass.jobs.folder import JobFolder
from weatherglass.records import iso

log = logging.getLogger(__name__)

MAX_PROGRESS_BYTES = 4_000_000
"""Size at which `progress.jsonl` is rotated."""


class Job:
    """Heartbeat, progress and stopping of the job that runs in this process.

    Usage: `with job_lifecycle(folder) as job: while not job.stop_requested(): …; job.report(…)`.
    """

    def __init__(self, folder: JobFolder):
        self.folder = folder
        self._stop = threading.Event()
        self._reporting = threading.Lock()

    def heartbeat(self) -> None:
        """Record that the work makes progress, or that there is nothing to do. Must not be called from a timer."""
        self.folder.heartbeat.touch()

    def report(self, message: str, **fields: Any) -> None:
        """Append a line of progress and record a heartbeat. Can be called from any thread.

        Args:
            message: text for the task log.
            fields: values for programs.
        """
        line = json.dumps({"at": iso(datetime.now(UTC)), "message": message, **fields}) + "\n"
        with self._reporting:
            if self.folder.progress.exists() and self.folder.progress.stat().st_size > MAX_PROGRESS_BYTES:
                self.folder.progress.replace(self.folder.progress.with_suffix(".old.jsonl"))
            with self.folder.progress.open("ab+") as file:
                file.write((b"\n" if _ends_inside_line(file) else b"") + line.encode())
        self.heartbeat()

    def stop_requested(self) -> bool:
        """Whether the job was asked to end: by the file `stop`, SIGTERM or SIGINT."""
        return self._stop.is_set() or self.folder.stop.exists()

    def wait(self, seconds: float) -> bool:
        """Sleep, but return within 0.2 s of a stop request; True if the job was asked to end."""
        end = time.monotonic() + seconds
        while not self.stop_requested() and (left := end - time.monotonic()) > 0:
            self._stop.wait(min(left, 0.2))
        return self.stop_requested()

    def finish(self, ok: bool, reason: str) -> None:
        """Write `exit.json`. Only the first call has an effect."""
        if not self.folder.exit.exists():
            self.folder.write_json(self.folder.exit, {"ok": ok, "reason": reason, "at": iso(datetime.now(UTC))})


def _ends_inside_line(file: BinaryIO) -> bool:
    """Whether the last line is incomplete, because of a full disk or a power cut."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


@contextmanager
def job_lifecycle(path: Path) -> Iterator[Job]:
    """Run a job: SIGTERM and SIGINT request a stop, and `exit.json` is written however the body ends."""
    job = Job(JobFolder(path))
    path.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: job._stop.set())
    job.heartbeat()
    try:
        yield job
    except BaseException as error:
        job.finish(False, f"{type(error).__name__}: {error}")
        raise
    requested_by = job.folder.stop_requested_by()
    if requested_by:
        job.finish(True, f"stopped on request of {requested_by}")
    else:
        job.finish(False, "Stopped by a signal" if job._stop.is_set() else "Exited unexpectedly")
