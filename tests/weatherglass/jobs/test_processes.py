"""Processes are found by marker or session, without those that have ended, and signalled one by one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.waiting import until
from weatherglass.jobs.processes import find_processes, identity, signal_processes

MARKER = ("TEST_PROCESSES", str(os.getpid()))
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `sleep` in a session of its own, with or without the marker."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(marked: bool = True) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **(dict([MARKER]) if marked else {})}
        started.append(subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True))
        pid = started[-1].pid
        until("the program", lambda: psutil.Process(pid).name() == "sleep")  # it has its own environment
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def become_zombie(process: subprocess.Popen[bytes]) -> None:
    """End a process without waiting for it."""
    process.kill()
    until("the end", lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)


def pids(processes: list[psutil.Process]) -> list[int]:
    return [process.pid for process in processes]


def test_processes_are_found_newest_first_without_ended_ones(start: Start) -> None:
    first, zombie, second, other = start(), start(), start(), start(marked=False)
    become_zombie(zombie)
    assert identity(zombie.pid) is None
    found = find_processes(MARKER, [])
    assert pids(found) == sorted([first.pid, second.pid], reverse=True)
    leader = identity(other.pid)
    assert leader is not None
    assert pids(find_processes(None, [(other.pid, leader)])) == [other.pid]
    assert set(pids(find_processes(MARKER, [(other.pid, leader)]))) == {first.pid, second.pid, other.pid}
    assert find_processes(None, [(other.pid, f"another-boot:{leader.partition(':')[2]}")]) == []


def test_a_signal_reaches_the_processes_after_one_that_has_ended(start: Start) -> None:
    ended, running = start(), start()
    processes = [psutil.Process(process.pid) for process in (ended, running)]
    ended.kill()
    ended.wait()
    assert signal_processes(signal.SIGTERM, processes) == [running.pid]
    assert running.wait(60) == -signal.SIGTERM
