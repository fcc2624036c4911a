"""The seeded schedule of faults: a pure function of seed, duration and targets."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The faults. The target is a process, the client id of connections, or empty."""

    KILL = "kill"
    """`kill -9` of a process."""
    STOP = "stop"
    """SIGSTOP of a process, and SIGCONT at the end."""
    DELAY = "delay"
    """Each frame of a client's connections is delayed."""
    RESET = "reset"
    """The client's connections are reset."""
    HALF_OPEN = "half_open"
    """Nothing is forwarded on the client's connections, which stay open."""
    END_DELAY = "end_delay"
    """The request that ends a transaction is delayed."""
    END_DROP = "end_drop"
    """The connection is reset after the broker has ended a transaction."""
    DISK_FULL = "disk_full"
    """The file system of the state folder is full."""
    CLOCK = "clock"
    """The clock of the producer of the load is moved."""
    GARBAGE = "garbage"
    """Invalid and misleading records on all topics."""
    PARTITIONS = "partitions"
    """Partitions are added to `weather-raw`."""
    DATABASE = "database"
    """PostgreSQL stops as in a crash, and is started at the end."""


SECONDS: Mapping[Kind, tuple[float, float]] = {
    Kind.STOP: (5, 40),
    Kind.DELAY: (5, 20),
    Kind.HALF_OPEN: (5, 40),
    Kind.END_DELAY: (5, 25),
    Kind.END_DROP: (3, 10),
    Kind.DISK_FULL: (10, 30),
    Kind.CLOCK: (30, 90),
    Kind.DATABASE: (5, 60),
}
"""Shortest and longest duration; kinds that are not listed take no time."""
START_SECONDS, PAUSE_SECONDS, END_SECONDS = 30.0, (45.0, 75.0), 120.0
"""Without faults: at the start, between the end of a fault and the next, and at the end of a run."""
MAX_KILLS, KILL_WINDOW = 4, 660.0
"""A program is ended at most so often within these seconds: the launcher would delay its restart otherwise."""
ENDING = (Kind.KILL, Kind.STOP)
"""The launcher kills a process that stays suspended."""
MEASURED_SECONDS = 100.0
"""At least from one fault to the next when recovery is measured: a job that has worked for less than a minute is
restarted later."""
SUSPENDED_SECONDS = 60.0
"""How long a process is suspended then: longer than the recovery should take, which therefore needs a supervisor."""
ONCE = (Kind.PARTITIONS,)
"""A topic cannot lose partitions, so these are not repeated."""


@dataclass(frozen=True)
class Fault:
    """A fault; `start` in seconds since the start of the run, `duration` in seconds."""

    start: float
    duration: float
    kind: Kind
    target: str = ""

    @property
    def end(self) -> float:
        return self.start + self.duration


def schedule(seed: int, minutes: float, targets: Mapping[Kind, Sequence[str]]) -> list[Fault]:
    """Faults, one after the other, each followed by a pause in which the pipeline recovers.

    Every kind occurs once before any occurs twice, if the time suffices; the same holds for the targets of a kind.

    Args:
        targets: the targets of each kind that is possible in this run; `[""]` for a kind without targets. The order of
            kinds and targets does not matter.
    """
    pick = random.Random(seed)
    kinds = [kind for kind in Kind if targets.get(kind)]
    waiting: dict[Kind, list[str]] = {kind: [] for kind in kinds}
    round_: list[Kind] = []
    faults: list[Fault] = []
    start = START_SECONDS
    while kinds:
        if not round_:
            round_ = [kind for kind in kinds if kind not in ONCE or all(fault.kind is not kind for fault in faults)]
            pick.shuffle(round_)
        if not round_:
            break
        kind = round_.pop()
        if not waiting[kind]:
            waiting[kind] = sorted(set(targets[kind]))
            pick.shuffle(waiting[kind])
        target = waiting[kind].pop()
        duration = round(pick.uniform(*SECONDS.get(kind, (0, 0))), 1)
        if start + duration > minutes * 60 - END_SECONDS:
            break
        if kind not in ENDING or _may_end(faults, target, start):
            faults.append(Fault(round(start, 1), duration, kind, target))
        start += duration + pick.uniform(*PAUSE_SECONDS)
    return faults


def rounds(missing: Mapping[tuple[Kind, str], int]) -> list[Fault]:
    """Kills and suspensions for measuring the recovery; a suspended process is killed by its supervisor.

    All faults of a round come before those of the next, so that a disturbance from outside does not affect all runs of
    one fault. A fault begins later where the launcher would otherwise give up the program that the process belongs to.

    Args:
        missing: kind and target of each fault, and how often it occurs.
    """
    faults: list[Fault] = []
    start = START_SECONDS
    for number in range(max(missing.values(), default=0)):
        for kind, target in (fault for fault, count in missing.items() if number < count):
            ends = _ends(faults, target)
            if len(ends) >= MAX_KILLS:
                start = max(start, ends[-MAX_KILLS].start + KILL_WINDOW)
            faults.append(Fault(start, SUSPENDED_SECONDS if kind is Kind.STOP else 0.0, kind, target))
            start += MEASURED_SECONDS
    return faults


def _program(target: str) -> str:
    """What the launcher restarts when the process ends; for a job, which the job host starts, the job itself."""
    return target if target.startswith("job/") else target.partition("/")[0]


def _may_end(faults: Sequence[Fault], target: str, start: float) -> bool:
    return sum(one.start > start - KILL_WINDOW for one in _ends(faults, target)) < MAX_KILLS


def _ends(faults: Sequence[Fault], target: str) -> list[Fault]:
    """The faults after which the program of this target is restarted."""
    return [one for one in faults if one.kind in ENDING and _program(one.target) == _program(target)]
