"""A clock that a test moves, instead of waiting."""

from __future__ import annotations


class Clock:
    """Seconds of a monotonic clock.

    Attributes:
        now: the time, which the test increases.
    """

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
