"""Suspended processes, really suspended; the time is that of the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from tests.waiting import until
from weatherglass.launcher.processes import Children, Program
from weatherglass.launcher.suspension import CHECK_SECONDS, SUSPENDED_SECONDS, SuspensionMonitor
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
LATER = SUSPENDED_SECONDS + CHECK_SECONDS


@pytest.fixture
def monitor(settings: Settings) -> SuspensionMonitor:
    settings.state_dir.mkdir(parents=True)
    return SuspensionMonitor(settings, lambda _: None)


@pytest.fixture
def child(monitor: SuspensionMonitor) -> Iterator[psutil.Process]:
    """A process that the launcher has started."""
    children = Children(monitor.settings)
    children.start(Program("sleeper", SLEEP, dict(os.environ)))
    record = children.records.read("sleeper")
    assert record
    process = psutil.Process(record.pid)
    yield process
    with suppress(psutil.NoSuchProcess):
        process.kill()
    until("the end of the process", lambda: not children.alive("sleeper"))


def suspend(process: psutil.Process) -> None:
    process.suspend()
    until("the suspension", lambda: process.status() == psutil.STATUS_STOPPED)


def is_killed(process: psutil.Process) -> bool:
    """Whether a suspended process was killed; a signal takes a moment to act."""
    return process.wait(timeout=60) == -signal.SIGKILL


def test_a_process_that_stays_suspended_is_killed(monitor: SuspensionMonitor, child: psutil.Process) -> None:
    suspend(child)
    monitor.poll(0)
    monitor.poll(SUSPENDED_SECONDS - 0.1)
    assert child.status() == psutil.STATUS_STOPPED
    monitor.poll(LATER)
    assert is_killed(child)


def test_a_process_that_continues_is_not_killed(monitor: SuspensionMonitor, child: psutil.Process) -> None:
    suspend(child)
    monitor.poll(0)
    child.resume()
    until("the end of the suspension", lambda: child.status() != psutil.STATUS_STOPPED)
    monitor.poll(LATER)
    suspend(child)
    monitor.poll(2 * LATER)
    # The time of the second suspension counts.
    assert child.status() == psutil.STATUS_STOPPED
    monitor.poll(3 * LATER)
    assert is_killed(child)


def test_processes_of_others_are_not_killed(monitor: SuspensionMonitor) -> None:
    process = psutil.Popen(SLEEP, stdin=subprocess.DEVNULL)
    try:
        suspend(process)
        for now in (0, LATER, 2 * LATER):
            monitor.poll(now)
        assert process.status() == psutil.STATUS_STOPPED
    finally:
        process.kill()
        process.wait()
