"""Waiting for an event; tests do not sleep in any other way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT = 300.0
"""Seconds; long enough for a busy machine. No test checks how long something takes."""


def until(description: str, poll: Callable[[], T | None], limit: float = LIMIT, interval: float = 0.05) -> T:
    """Call `poll` until it returns a true value, and return the value.

    Raises:
        AssertionError: it did not in time; `description` names the event.
    """
    end = time.monotonic() + limit
    while not (value := poll()):
        assert time.monotonic() < end, f"timed out after {limit:.0f} s: {description}"
        time.sleep(interval)
    return value
