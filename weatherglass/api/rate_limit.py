"""Limits the rate of each sender: a token bucket (RFC 2697 describes one), filled at a constant rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class RateLimit:
    """So many units at once, and so many per second in the long run, for each key.

    Args:
        clock: returns a time in seconds that never decreases.
    """

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic):
        self.burst, self.per_second = burst, per_second
        self._clock = clock
        self._used: dict[str, tuple[float, float]] = {}
        """Units that were not refilled yet, and at what time, by key. The keys are known senders, so they are few."""

    def take(self, key: str, units: int) -> int:
        """Take units; returns 0, or, if there are not enough, the seconds after which there are, and takes none.

        More units than `burst` are never available.
        """
        now = self._clock()
        used, at = self._used.get(key, (0.0, now))
        used = max(used - (now - at) * self.per_second, 0.0)
        missing = used + units - self.burst
        if missing > 0:
            return math.ceil(missing / self.per_second)
        self._used[key] = used + units, now
        return 0
