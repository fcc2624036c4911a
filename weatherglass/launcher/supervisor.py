"""Starts the programs of the launcher, restarts those that exit, and kills processes that stay suspended."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Collection

from weatherglass.launcher import ray_head
from weatherglass.launcher.errors import StartError
from weatherglass.launcher.kafka import tail
from weatherglass.launcher.processes import Children, Program
from weatherglass.launcher.suspension import SuspensionMonitor
from weatherglass.launcher.wait import POLL_SECONDS, wait_for
from weatherglass.settings import Settings

RESTARTS = 5
RESTART_WINDOW = 600.0
"""Seconds. A program that exits more than `RESTARTS` times within them is restarted after a growing delay: what it
lacks, such as space on the disk, may come back. A start that needs it fails."""
RESTART_DELAYS = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds, of the exits after the first `RESTARTS`; the last one applies to all later exits."""


class StopRequested(Exception):
    """The user stopped the launcher with a signal."""


class Supervisor:
    """The programs of one `make up`."""

    def __init__(self, settings: Settings, log: Callable[[str], None]):
        self.settings = settings
        self.log = log
        self.children = Children(settings)
        self._stop = threading.Event()
        self._programs: dict[str, Program] = {}
        self._exits: dict[str, deque[float]] = {}
        self._delayed_until: dict[str, float] = {}
        self._suspension = SuspensionMonitor(settings, log)

    def stop_on_signals(self) -> None:
        """Let SIGINT (Ctrl-C), SIGTERM and SIGHUP (closed terminal) request a stop."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._request_stop())

    def _request_stop(self) -> None:
        if self._stop.is_set():
            self.log("already stopping; this takes up to 45 s")
        self._stop.set()

    def start(self, program: Program) -> None:
        """Start a program and restart it when it exits."""
        self.check_stop()
        self._programs[program.name] = program
        self.children.start(program)

    def run_to_end(self, program: Program) -> int | None:
        """Run a program that ends by itself; its exit status."""
        self.check_stop()
        self.children.start(program)
        while self.children.alive(program.name):
            self._stop.wait(0.1)
            self.check_stop()
        return self.children.exit_status(program.name)

    def check_stop(self) -> None:
        """Raise StopRequested if a stop was requested."""
        if self._stop.is_set():
            raise StopRequested

    def poll(self) -> None:
        """Restart programs that have exited, kill suspended processes; raises StopRequested."""
        self.check_stop()
        self._suspension.poll(time.monotonic())
        for name, program in self._programs.items():
            if self.children.alive(name):
                continue
            if name not in self._delayed_until:
                self._report_exit(program)
            if time.monotonic() >= self._delayed_until.get(name, 0.0):
                self._restart(program)

    def run(self) -> None:
        """Supervise the programs until a stop is requested."""
        while not self._stop.wait(POLL_SECONDS):
            self.poll()

    def wait(
        self, condition: Callable[[], bool], seconds: float, describe: Callable[[], str], needs: Collection[str] = ()
    ) -> None:
        """Wait until a condition is true while the programs are supervised.

        Args:
            seconds: from now, or from the last restart of a program in `needs`.

        Raises:
            TimeoutError: it did not become true in time; `describe` returns what is missing.
            StartError: one of the programs in `needs` exited more than `RESTARTS` times.
            StopRequested: the user stopped the launcher.
        """

        def each_poll() -> None:
            self.poll()
            for name in needs:
                if name in self._delayed_until:
                    raise StartError(f"{name} does not start; end of {self.children.log(name)}:\n{self._tail(name)}")

        while True:
            restarts = self._restarts(needs)
            try:
                return wait_for(condition, seconds, describe, each_poll)
            except TimeoutError:
                if self._restarts(needs) == restarts:
                    raise

    def _restarts(self, names: Collection[str]) -> int:
        return sum(len(self._exits.get(name, ())) for name in names)

    def _report_exit(self, program: Program) -> None:
        """Report the exit of a program, and determine when it is restarted."""
        exits = self._exits.setdefault(program.name, deque(maxlen=RESTARTS + len(RESTART_DELAYS)))
        now = time.monotonic()
        exits.append(now)
        recent = sum(now - exit_ < RESTART_WINDOW for exit_ in exits)
        status = describe_exit(self.children.exit_status(program.name))
        log = self.children.log(program.name)
        if recent <= RESTARTS:
            self.log(f"{program.name} {status}; restarting it (log: {log})")
            return
        delay = RESTART_DELAYS[recent - RESTARTS - 1]
        self._delayed_until[program.name] = now + delay
        self.log(f"{program.name} {status}: exit {recent} in ten minutes, restarting it in {delay:g} s (log: {log})")

    def _restart(self, program: Program) -> None:
        try:
            self.children.kill_session(program.name)
            if program.name == "ray":
                ray_head.prepare(self.settings)
            self.children.start(program)
        except OSError as error:  # such as a full disk, which must not end the other programs
            delay = RESTART_DELAYS[0]
            self._delayed_until[program.name] = time.monotonic() + delay
            self.log(f"{program.name} cannot be started, next attempt in {delay:g} s: {error}")
        else:
            self._delayed_until.pop(program.name, None)

    def _tail(self, name: str) -> str:
        return tail(self.children.log(name))


def describe_exit(status: int | None) -> str:
    """`exited with status 1` or `was killed by SIGKILL`, for a log line."""
    if status is None:
        return "is running"
    return f"exited with status {status}" if status >= 0 else f"was killed by {signal.Signals(-status).name}"
