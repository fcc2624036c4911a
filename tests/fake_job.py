"""A small long-lived job that keeps the contract of `weatherglass.jobs`, or breaks it on request.

`python -P fake_job.py FOLDER [deaf|silent|crash|forks]`: `-P`, or `tests/weatherglass` would be taken for the package.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.job import running

BEAT = 0.1


def deaf(path: Path) -> None:
    """Makes progress, but heeds neither the stop marker nor TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        JobFolder(path).heartbeat.touch()
        time.sleep(BEAT)


def main(path: Path, manner: str) -> None:
    if manner == "deaf":
        deaf(path)
    with running(path) as job:
        if manner == "forks":
            # A child in a session of its own, as a daemon would be; only its environment says whose it is.
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            (path / "child.pid").write_text(str(child.pid))
        batch = 0
        while not job.wait(BEAT):
            if manner == "crash" and batch == 3:
                print("java.lang.IllegalStateException: the disk is full", flush=True)
                print("\tat org.example.Disk.write(Disk.java:7)", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            if manner == "silent" and batch == 3:
                while True:
                    signal.pause()
            batch += 1
            job.report(f"batch {batch}", batch=batch, rows=10)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "polite")
