from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from weatherglass.jobs.processes import signal_processes
from weatherglass.launcher import resource_usage
from weatherglass.launcher.processes import LAUNCHER, Children, ProcessRecords, Program, launched_processes
from weatherglass.launcher.resource_usage import Usage, measure_usage, total
from weatherglass.settings import Settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def children(settings: Settings) -> Iterator[Children]:
    settings.state_dir.mkdir(parents=True)
    yield Children(settings)
    left = launched_processes(settings)
    signal_processes(signal.SIGKILL, left)
    psutil.wait_procs(left, timeout=60)


@pytest.mark.integration
def test_the_cpu_of_a_program_is_the_share_that_it_used_while_it_was_measured(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.start(Program("sleeper", SLEEP, dict(os.environ)))
    seconds, clock = iter([10.0, 11.0]), iter([100.0, 104.0])
    monkeypatch.setattr(resource_usage, "cpu_seconds", lambda _: next(seconds))
    frozen = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None, time=time.time)
    monkeypatch.setattr(resource_usage, "time", frozen)
    (usage,) = measure_usage(children.settings)
    assert (usage.name, usage.processes, usage.cpu) == ("sleeper", 1, 0.25)
    assert usage.memory > 0


@pytest.mark.integration
def test_the_launcher_is_included_once_if_it_runs(children: Children) -> None:
    children.start(Program("sleeper", SLEEP, dict(os.environ)))
    ProcessRecords(children.settings).write(LAUNCHER, os.getpid())
    usages = measure_usage(children.settings)
    assert [(usage.name, usage.processes) for usage in usages] == [(LAUNCHER, 1), ("sleeper", 1)]
    assert usages[0].since == psutil.Process().create_time()


@pytest.mark.integration
def test_a_process_that_ends_while_it_is_measured_is_left_out(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        children.start(Program(name, SLEEP, dict(os.environ)))

    def end_first(_: float) -> None:
        (process,) = (found for found in psutil.Process().children() if found.pid == record.pid)
        process.kill()
        process.wait(60)

    record = ProcessRecords(children.settings).read("first")
    assert record
    monkeypatch.setattr(
        resource_usage, "time", SimpleNamespace(monotonic=time.monotonic, sleep=end_first, time=time.time)
    )
    assert [usage.name for usage in measure_usage(children.settings)] == ["second"]


def test_a_total_is_the_sum_since_the_first_start() -> None:
    usages = [Usage("a", 2, 50.0, 1000, 0.25), Usage("b", 1, 40.0, 500, 0.5)]
    assert total("all", usages) == Usage("all", 3, 40.0, 1500, 0.75)
