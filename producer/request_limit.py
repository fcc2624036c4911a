"""A least time between requests, for all processes of this machine that share a state folder."""

from __future__ import annotations

import fcntl
import math
import time
from pathlib import Path


class RequestLimit:
    """Makes each caller wait until `seconds` have passed since the last request of any process.

    The file holds the time of the last request, Unix seconds. It is locked while a process waits, so that others wait
    after it. A file with anything else counts as a request of this moment.
    """

    def __init__(self, file: Path, seconds: float):
        self._file = file
        self._seconds = seconds

    def wait(self) -> None:
        """Return when the next request may be sent, which must follow at once."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a+", encoding="ascii", errors="replace") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            pause = self._seconds - (time.time() - self._last_request(file.read(40)))
            time.sleep(min(max(pause, 0.0), self._seconds))  # a clock that was set back does not prolong it
            file.truncate(0)
            file.write(f"{time.time():.3f}")

    @staticmethod
    def _last_request(text: str) -> float:
        try:
            last = float(text or 0)
        except ValueError:
            return time.time()
        return last if math.isfinite(last) else time.time()
