"""Waiting for a step of the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import requests

from weatherglass.waiting import wait_until

POLL_SECONDS = 0.5


class WaitFor(Protocol):
    """Waits until a condition is true.

    Raises:
        TimeoutError: it did not become true in time; `describe` returns what is missing.
    """

    def __call__(self, condition: Callable[[], bool], seconds: float, describe: Callable[[], str]) -> None: ...


def wait_for(
    condition: Callable[[], bool],
    seconds: float,
    describe: Callable[[], str],
    each_poll: Callable[[], None] = lambda: None,
    interval: float = POLL_SECONDS,
) -> None:
    """Wait until a condition is true; a server that does not respond counts as false.

    Args:
        each_poll: called before each check of the condition; an exception that it raises ends the wait.
        interval: seconds between two checks.

    Raises:
        TimeoutError: the condition did not become true in time; `describe` returns what is missing.
    """

    def poll() -> bool:
        each_poll()
        try:
            return condition()
        except (requests.ConnectionError, requests.Timeout):
            return False

    if not wait_until(poll, seconds, interval):
        raise TimeoutError(f"timed out after {seconds:.0f} s: {describe()}")
