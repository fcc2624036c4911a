"""What the launcher tells its user: a line a step, each with the seconds since the start."""

from __future__ import annotations

import contextlib
import sys
import threading
import time


class Console:
    """Prints steps with times. Never raises: the terminal may be gone while the stack still has to be stopped."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def say(self, words: str) -> None:
        """One step; further lines of it are indented below the first."""
        first, *more = words.splitlines() or [""]
        self.plain("\n".join([f"[{self.seconds:6.1f} s] {first}", *(f"{'':11}{line}" for line in more)]))

    def plain(self, words: str) -> None:
        """Words without a time."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            print(words, file=sys.stdout, flush=True)
