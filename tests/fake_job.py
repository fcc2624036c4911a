"""A minimal long-lived job that follows the contract of `weatherglass.jobs` or violates it, depending on its mode.

`python -P fake_job.py FOLDER [cooperative|ignores-stop|silent|crash|forks]`. Without `-P`, `tests/weatherglass` would
be imported as the package.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from weatherglass.files import write_atomically
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import job_lifecycle

HEARTBEAT_SECONDS = 0.1


def ignore_stop(path: Path) -> None:
    """Send heartbeats, but ignore the file `stop` and SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        JobFolder(path).heartbeat.touch()
        time.sleep(HEARTBEAT_SECONDS)


def main(path: Path, mode: str) -> None:
    if mode == "ignores-stop":
        ignore_stop(path)
    with job_lifecycle(path) as job:
        if mode == "forks":
            # A child in its own session, like a daemon; only its environment identifies the job.
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            write_atomically(path / "child.pid", str(child.pid))
        batch = 0
        while not job.wait(HEARTBEAT_SECONDS):
            if mode == "crash" and batch == 3:
                print("java.lang.IllegalStateException: the disk is full", flush=True)
                print("\tat org.example.Disk.write(Disk.java:7)", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            if mode == "silent" and batch == 3:
                while True:
                    signal.pause()
            batch += 1
            job.report(f"batch {batch}", batch=batch, rows=10)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cooperative")
