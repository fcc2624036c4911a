"""Kills processes that stay suspended, so that they are restarted like any other process that ends.

A suspended process (SIGSTOP) keeps its connections and its lock, but does no work. A job would be restarted only when
its heartbeat is missing, and a server not at all.
"""

from __future__ import annotations

from collections.abc import Callable

import psutil

from weatherglass.jobs.processes import suspended_processes
from weatherglass.launcher.processes import launched_processes
from weatherglass.settings import Settings

SUSPENDED_SECONDS = 3.0
"""After this time a suspended process is killed: nothing in the pipeline suspends processes."""

CHECK_SECONDS = 1.0
"""Interval of the checks. A check takes some milliseconds."""


class SuspensionMonitor:
    """Watches the processes that were started with the state folder; `log` receives a line for each that is killed."""

    def __init__(self, settings: Settings, log: Callable[[str], None]):
        self.settings = settings
        self.log = log
        self._next_check = float("-inf")
        self._since: dict[psutil.Process, float] = {}
        self._others: set[psutil.Process] = set()
        """Suspended processes that the launcher did not start."""

    def poll(self, now: float) -> None:
        """Kill what has been suspended for `SUSPENDED_SECONDS`.

        Args:
            now: seconds on the monotonic clock.
        """
        if now < self._next_check:
            return
        self._next_check = now + CHECK_SECONDS
        suspended = set(suspended_processes())
        self._others &= suspended
        self._since = {process: since for process, since in self._since.items() if process in suspended}
        if new := suspended - self._others - self._since.keys():
            own = new & set(launched_processes(self.settings))
            self._since |= dict.fromkeys(own, now)
            self._others |= new - own
        for process, since in self._since.items():
            if now - since >= SUSPENDED_SECONDS:
                self._kill(process, now - since)

    def _kill(self, process: psutil.Process, seconds: float) -> None:
        try:
            name = process.name()
            process.kill()
        except psutil.NoSuchProcess:
            return
        self.log(f"{name} (process {process.pid}) was suspended for {seconds:.0f} s; killed it")
