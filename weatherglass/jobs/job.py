"""The job's own side of its folder: what every long-lived job does, the same for all."""

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

PROGRESS_BYTES = 4_000_000
"""`progress.jsonl` is started anew beyond this, so that a job that runs for months keeps a small folder."""


class Job:
    """Heartbeat, progress and stopping of the job that runs in this process.

    Use `running(folder)`; a job's loop is then `while not job.stopping(): …; job.report(…)`.
    """

    def __init__(self, folder: JobFolder):
        self.folder = folder
        self._stop = threading.Event()

    def beat(self) -> None:
        """Say that the work makes progress, or that there is none to do. Not a sign of the process being there."""
        self.folder.heartbeat.touch()

    def report(self, said: str, **figures: Any) -> None:
        """Append a line of progress, `said` in words for the task log, the figures for machines; also a heartbeat."""
        if self.folder.progress.exists() and self.folder.progress.stat().st_size > PROGRESS_BYTES:
            self.folder.progress.replace(self.folder.progress.with_suffix(".old.jsonl"))
        line = json.dumps({"at": iso(datetime.now(UTC)), "said": said, **figures}) + "\n"
        with self.folder.progress.open("ab+") as file:
            file.write((b"\n" if _ends_inside_a_line(file) else b"") + line.encode())
        self.beat()

    def stopping(self) -> bool:
        """Whether somebody asked the job to end: by the `stop` marker, TERM or INT."""
        return self._stop.is_set() or self.folder.stop.exists()

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake for a stop within a fifth of a second; True if the job is to end."""
        end = time.monotonic() + seconds
        while not self.stopping() and (left := end - time.monotonic()) > 0:
            self._stop.wait(min(left, 0.2))
        return self.stopping()

    def finish(self, ok: bool, why: str) -> None:
        """Leave the last words. The first call counts."""
        if not self.folder.exit.exists():
            self.folder.write_json(self.folder.exit, {"ok": ok, "why": why, "at": iso(datetime.now(UTC))})


def _ends_inside_a_line(file: BinaryIO) -> bool:
    """Whether the last line was cut, by a full disk or a power cut; what is appended to it could not be read."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


@contextmanager
def running(path: Path) -> Iterator[Job]:
    """The life of a job: signals ask it to stop, and its last words are written however the body ends."""
    job = Job(JobFolder(path))
    path.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: job._stop.set())
    job.beat()
    try:
        yield job
    except BaseException as error:
        job.finish(False, f"{type(error).__name__}: {error}")
        raise
    by = job.folder.stop_requested_by()
    if by:
        job.finish(True, f"stopped, asked by {by}")
    else:
        job.finish(False, "ended by a signal" if job._stop.is_set() else "ended though nobody asked")
