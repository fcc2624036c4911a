"""Executes the faults of a schedule on a running stack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.disk import fill
from tests.chaos.faults import add_partitions, put_garbage
from tests.chaos.load import Clock
from tests.chaos.process_targets import LAUNCHER, processes
from tests.chaos.proxy import Faults, Proxy
from tests.chaos.schedule import Fault, Kind
from tests.postgres import PostgresServer

INFERENCE_CLIENT = "ray-ml-inference"
EVERY_CLIENT = ""
GARBAGE_COUNT = 60
NEW_PARTITIONS = 2
SHIFTS = ("-1800", "-120", "540", "7200")
"""Seconds by which the clock of the load is moved: far back, slightly back, ahead within the tolerance, far ahead."""
FILLER = "filler"
PROXY_FAULTS = {
    Kind.DELAY: Faults(delay=0.5),
    Kind.HALF_OPEN: Faults(half_open=True),
    Kind.END_DELAY: Faults(end_delay=600.0),
    Kind.END_DROP: Faults(end_drop=True),
}


class NoTarget(RuntimeError):
    """The target of a fault does not exist at this moment."""


@dataclass
class Injector:
    """What the faults act on.

    Attributes:
        servers: bootstrap servers of the broker.
        state: state folder of the stack.
        restart: starts the launcher after it was killed.
        is_small: whether the state folder is on a file system that can be filled.
        database: PostgreSQL, if the store is there.
    """

    seed: int
    servers: str
    state: Path
    proxy: Proxy
    clock: Clock
    restart: Callable[[], None]
    is_small: bool = False
    database: PostgresServer | None = None
    _wait: threading.Event = field(default_factory=threading.Event)

    def targets(self) -> dict[Kind, Sequence[str]]:
        """The targets of each kind that is possible now, for the schedule."""
        names = sorted(processes(self.state))
        found: dict[Kind, Sequence[str]] = {Kind.KILL: names, Kind.STOP: names}
        found |= {kind: [INFERENCE_CLIENT] for kind in PROXY_FAULTS}
        found |= {Kind.RESET: [INFERENCE_CLIENT, EVERY_CLIENT], Kind.CLOCK: SHIFTS}
        found |= {kind: [""] for kind in (Kind.GARBAGE, Kind.PARTITIONS)}
        if self.is_small:
            found[Kind.DISK_FULL] = [""]
        if self.database:
            found[Kind.DATABASE] = [""]
        return found

    def inject(self, fault: Fault) -> None:
        """Begin a fault, wait for its duration, and end it.

        Raises:
            NoTarget: see there.
        """
        with self._active(fault):
            self._wait.wait(fault.duration)

    def end_wait(self) -> None:
        """End the present fault, and all later ones at once."""
        self._wait.set()

    @contextmanager
    def _active(self, fault: Fault) -> Iterator[None]:
        begin, end = self._actions()[fault.kind]
        begin(fault)
        try:
            yield
        finally:
            end(fault)

    def _actions(self) -> Mapping[Kind, tuple[Callable[[Fault], object], Callable[[Fault], object]]]:
        """Functions that begin and end each kind of fault."""
        of_proxy = (self._disturb, lambda _: self.proxy.clear())
        return {
            Kind.KILL: (self._kill, _nothing),
            Kind.STOP: (self._suspend, self._resume),
            Kind.RESET: (lambda fault: self.proxy.reset(fault.target), _nothing),
            **dict.fromkeys(PROXY_FAULTS, of_proxy),
            Kind.DISK_FULL: (lambda _: fill(self.state / FILLER), lambda _: (self.state / FILLER).unlink()),
            Kind.CLOCK: (lambda fault: self._move_clock(float(fault.target)), lambda _: self._move_clock(0.0)),
            Kind.GARBAGE: (self._put_garbage, _nothing),
            Kind.PARTITIONS: (lambda _: add_partitions(self.servers, NEW_PARTITIONS), _nothing),
            Kind.DATABASE: (lambda _: self._database.stop(), lambda _: self._database.start()),
        }

    def _process(self, name: str) -> psutil.Process:
        found = processes(self.state).get(name)
        if found is None:
            raise NoTarget(f"no process {name}")
        return found

    def _kill(self, fault: Fault) -> None:
        self._process(fault.target).kill()
        if fault.target == LAUNCHER:
            self.restart()

    def _suspend(self, fault: Fault) -> None:
        self._suspended = self._process(fault.target)
        self._suspended.suspend()

    def _resume(self, _: Fault) -> None:
        with suppress(psutil.NoSuchProcess):  # a supervisor has killed it meanwhile
            self._suspended.resume()

    def _disturb(self, fault: Fault) -> None:
        self.proxy.inject(PROXY_FAULTS[fault.kind], fault.target)

    def _move_clock(self, shift: float) -> None:
        self.clock.shift = shift

    def _put_garbage(self, fault: Fault) -> None:
        put_garbage(self.servers, self.seed + int(fault.start * 10), GARBAGE_COUNT)

    @property
    def _database(self) -> PostgresServer:
        assert self.database
        return self.database


def _nothing(_: Fault) -> None:
    pass
