"""Waiting for an event, the one way in which tests let time go by."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT = 300.0
"""Seconds; how long nobody would wait on a busy machine. No test is about how long something takes."""


def until(what: str, look: Callable[[], T | None], limit: float = LIMIT, pause: float = 0.05) -> T:
    """Look until there is something to see, and return it; `what` names it if it never comes."""
    end = time.monotonic() + limit
    while not (seen := look()):
        assert time.monotonic() < end, f"waited {limit:.0f} s in vain for {what}"
        time.sleep(pause)
    return seen
