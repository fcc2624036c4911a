"""Terminal output of the launcher: one line per step with the seconds since the start."""

from __future__ import annotations

import contextlib
import sys
import threading
import time


class Console:
    """Prints to standard output. Never raises: the terminal may be gone while processes still have to be stopped."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def log(self, message: str) -> None:
        """Print a step with its time; further lines are indented below the first."""
        first, *more = message.splitlines() or [""]
        seconds = time.monotonic() - self._start
        self.write("\n".join([f"[{seconds:6.1f} s] {first}", *(f"{'':11}{line}" for line in more)]))

    def write(self, text: str) -> None:
        """Print text without a time."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stdout, flush=True)
