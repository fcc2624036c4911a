"""The supervisor with real processes."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest

from weatherglass.jobs.processes import signal_processes
from weatherglass.launcher import supervisor as supervisor_module
from weatherglass.launcher import suspension
from weatherglass.launcher.errors import StartError
from weatherglass.launcher.processes import ProcessRecords, Program, launched_processes
from weatherglass.launcher.supervisor import RESTARTS, StopRequested, Supervisor
from weatherglass.settings import Settings
from weatherglass.waiting import wait_until

pytestmark = pytest.mark.integration
LIMIT = 60.0


@pytest.fixture
def supervisor(settings: Settings) -> Iterator[Supervisor]:
    settings.state_dir.mkdir(parents=True)
    yield Supervisor(settings, lambda _: None)
    left = launched_processes(settings)
    signal_processes(signal.SIGKILL, left)
    psutil.wait_procs(left, timeout=LIMIT)


def program(code: str) -> Program:
    return Program("program", [sys.executable, "-c", code], dict(os.environ))


def test_a_killed_program_is_restarted(supervisor: Supervisor, settings: Settings) -> None:
    supervisor.start(program("import time; time.sleep(600)"))
    (first,) = launched_processes(settings)
    first.kill()
    assert wait_until(lambda: not supervisor.children.alive("program"), LIMIT)
    supervisor.poll()
    (second,) = launched_processes(settings)
    assert second.pid != first.pid


def test_a_suspended_program_is_replaced(
    supervisor: Supervisor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspension, "SUSPENDED_SECONDS", 0.0)
    monkeypatch.setattr(suspension, "CHECK_SECONDS", 0.0)
    supervisor.start(program("import time; time.sleep(600)"))
    (first,) = launched_processes(settings)
    first.suspend()

    def replaced() -> bool:
        supervisor.poll()
        return first not in launched_processes(settings)

    assert wait_until(replaced, LIMIT)
    supervisor.poll()
    assert supervisor.children.alive("program")


def test_a_program_that_keeps_exiting_ends_the_wait_for_it(supervisor: Supervisor, settings: Settings) -> None:
    starts = settings.state_dir / "starts"
    supervisor.start(program(f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(7)"))
    with pytest.raises(StartError, match="program"):
        supervisor.wait(lambda: False, LIMIT, lambda: "nothing", needs=("program",))
    assert supervisor.children.exit_status("program") == 7
    assert starts.read_text() == "x" * (1 + RESTARTS)


def test_a_program_that_kept_exiting_is_restarted_when_its_cause_is_gone(
    supervisor: Supervisor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker, for example, cannot start while the disk is full."""
    monkeypatch.setattr(supervisor_module, "RESTART_DELAYS", (0.2,))
    starts, cause = settings.state_dir / "starts", settings.state_dir / "cause"
    cause.touch()
    code = f"""
import pathlib, time
open({str(starts)!r}, "a").write("x")
if pathlib.Path({str(cause)!r}).exists():
    raise SystemExit(7)
time.sleep(600)
"""
    supervisor.start(program(code))

    def started_often() -> bool:
        supervisor.poll()
        return starts.exists() and len(starts.read_text()) > RESTARTS + 3

    assert wait_until(started_often, LIMIT)
    cause.unlink()

    def runs() -> bool:
        supervisor.poll()
        return bool(launched_processes(settings)) and len(starts.read_text()) == attempts

    attempts = len(starts.read_text()) + 1
    assert wait_until(runs, LIMIT)


def test_a_program_that_cannot_be_started_is_tried_again(
    supervisor: Supervisor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk, the record of its process cannot be written."""
    monkeypatch.setattr(supervisor_module, "RESTART_DELAYS", (0.2,))
    supervisor.start(program("import time; time.sleep(600)"))
    records = ProcessRecords(settings).folder
    (first,) = launched_processes(settings)
    saved = records.with_name("saved")
    records.rename(saved)
    records.write_text("no folder")
    first.kill()
    assert wait_until(lambda: not supervisor.children.alive("program"), LIMIT)
    supervisor.poll()
    assert launched_processes(settings) == []
    records.unlink()
    saved.rename(records)

    def started() -> bool:
        supervisor.poll()
        return supervisor.children.alive("program")

    assert wait_until(started, LIMIT)
    (second,) = launched_processes(settings)
    assert second.pid != first.pid


def test_the_delay_of_a_restart_grows_with_the_number_of_exits(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(supervisor_module.time, "monotonic", lambda: now)
    monkeypatch.setattr(supervisor.children, "alive", lambda _: False)
    monkeypatch.setattr(supervisor.children, "exit_status", lambda _: 1)
    started: list[float] = []
    monkeypatch.setattr(supervisor.children, "start", lambda _: started.append(now))
    monkeypatch.setattr(supervisor.children, "kill_session", lambda _: None)
    supervisor.start(program(""))
    while now < 1300:
        supervisor.poll()
        now += 1
    begun = [round(b - a) for a, b in itertools.pairwise(started)]
    assert begun[:RESTARTS] == [0, *[1] * (RESTARTS - 1)]
    assert begun[RESTARTS : RESTARTS + 6] == [6, 11, 21, 41, 61, 61]


def test_a_wait_begins_again_when_a_program_that_it_needs_is_restarted(supervisor: Supervisor) -> None:
    supervisor.start(program("pass"))
    assert wait_until(lambda: not supervisor.children.alive("program"), LIMIT)
    answers = iter([False, True])
    supervisor.wait(lambda: next(answers), 0, lambda: "nothing", needs=("program",))


def test_a_signal_ends_every_wait(supervisor: Supervisor) -> None:
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    supervisor.stop_on_signals()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StopRequested):
            supervisor.wait(lambda: False, LIMIT, lambda: "nothing")
        with pytest.raises(StopRequested):
            supervisor.start(program("pass"))
        supervisor.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def test_run_to_end_returns_the_exit_status(supervisor: Supervisor) -> None:
    assert supervisor.run_to_end(program("raise SystemExit(3)")) == 3
