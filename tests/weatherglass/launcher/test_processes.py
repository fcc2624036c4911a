"""Processes are identified correctly and found in every session and environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from weatherglass.jobs.processes import identity, signal_processes
from weatherglass.launcher.processes import (
    STATE_DIR_VARIABLE,
    Children,
    ProcessRecord,
    ProcessRecords,
    Program,
    launched_processes,
)
from weatherglass.settings import Settings
from weatherglass.waiting import wait_until

pytestmark = pytest.mark.integration

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
LIMIT = 60.0


@pytest.fixture
def children(settings: Settings) -> Iterator[Children]:
    settings.state_dir.mkdir(parents=True)
    yield Children(settings)
    left = launched_processes(settings)
    signal_processes(signal.SIGKILL, left)
    psutil.wait_procs(left, timeout=LIMIT)


def program(name: str, argv: list[str]) -> Program:
    return Program(name, argv, dict(os.environ))


def test_a_record_is_alive_until_its_process_ends(children: Children, settings: Settings) -> None:
    children.start(program("sleeper", SLEEP))
    record = ProcessRecords(settings).read("sleeper")
    assert record
    assert record.alive()
    os.kill(record.pid, signal.SIGKILL)
    # Its parent has not waited for it yet: a zombie is not alive, although its id still accepts signals.
    assert wait_until(lambda: not record.alive(), LIMIT)
    assert wait_until(lambda: not children.alive("sleeper"), LIMIT)
    assert children.exit_status("sleeper") == -signal.SIGKILL


@pytest.mark.parametrize("content", ["", '{"name": "sl', "[]", "7", '{"name": "sleeper"}', None])
def test_a_process_with_a_damaged_record_is_found_by_its_environment(
    children: Children, settings: Settings, content: str | None
) -> None:
    children.start(program("sleeper", SLEEP))
    record = ProcessRecords(settings).read("sleeper")
    assert record
    file = ProcessRecords(settings).folder / "sleeper.json"
    file.write_text(content if content is not None else file.read_text().replace(str(record.pid), '"x"'))
    assert ProcessRecords(settings).all() == []
    assert [process.pid for process in launched_processes(settings)] == [record.pid]


def test_a_recycled_process_id_does_not_match_its_record(settings: Settings) -> None:
    """Another process has the id of a recorded one, with another start time or after another boot."""
    other = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        now = identity(other.pid)
        assert now
        boot, _, ticks = now.partition(":")
        folder = ProcessRecords(settings).folder
        folder.mkdir(parents=True)
        for name, recorded in {"earlier": f"{boot}:{int(ticks) - 1}", "before-the-boot": f"another:{ticks}"}.items():
            record = ProcessRecord(name, other.pid, recorded, 0.0)
            (folder / f"{name}.json").write_text(json.dumps(record.__dict__))
            assert not record.alive()
        assert launched_processes(settings) == []
    finally:
        other.kill()
        other.wait()


def test_descendants_are_found_in_other_sessions_or_without_the_variable(
    children: Children, settings: Settings
) -> None:
    """One grandchild leaves the session, one has an empty environment."""
    script = f"""
import os, subprocess, sys, time
sleep = {SLEEP!r}
leaver = subprocess.Popen(sleep, start_new_session=True)
bare = subprocess.Popen(sleep, env={{}})
open("pids", "w").write(f"{{leaver.pid}} {{bare.pid}}")
os.rename("pids", "pids.done")
time.sleep(600)
"""
    children.start(program("parent", [sys.executable, "-c", script]))
    pids = settings.state_dir / "pids.done"
    assert wait_until(pids.exists, LIMIT)
    grandchildren = {int(pid) for pid in pids.read_text().split()}
    parent = ProcessRecords(settings).read("parent")
    assert parent
    os.kill(parent.pid, signal.SIGKILL)
    assert wait_until(lambda: not children.alive("parent"), LIMIT)
    assert wait_until(lambda: {process.pid for process in launched_processes(settings)} == grandchildren, LIMIT)
    children.kill_session("parent")
    assert wait_until(lambda: len(launched_processes(settings)) == 1, LIMIT)  # the one that left the session


def test_processes_of_another_state_folder_are_not_found(
    children: Children, settings: Settings, tmp_path: Path
) -> None:
    other = subprocess.Popen(SLEEP, env={**os.environ, STATE_DIR_VARIABLE: str(settings.state_dir) + "-2"})
    try:
        assert launched_processes(settings) == []
    finally:
        other.kill()
        other.wait()


def test_unreadable_records_are_ignored(settings: Settings) -> None:
    records = ProcessRecords(settings)
    records.folder.mkdir(parents=True)
    (records.folder / "torn.json").write_text('{"name": "torn", "pi')
    (records.folder / "older.json").write_text('{"name": "older"}')
    assert records.all() == []


def test_a_large_log_is_renamed_at_the_next_start(
    children: Children, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weatherglass.launcher.processes.LOG_BYTES", 10)
    talk = [sys.executable, "-c", "print('something longer than ten bytes')"]
    for _ in range(2):
        children.start(program("talker", talk))
        assert wait_until(lambda: not children.alive("talker"), LIMIT)
    assert children.exit_status("talker") == 0
    assert "longer" in children.log("talker").with_suffix(".log.1").read_text()
    assert "longer" in children.log("talker").read_text()
