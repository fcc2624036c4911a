"""Processes are known again, never mistaken, and found wherever they went."""

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

from weatherglass.launcher.processes import (
    MARK,
    Children,
    ProcessRecord,
    ProcessRecords,
    Program,
    identity,
    members,
    send,
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
    left = members(settings)
    send(signal.SIGKILL, left)
    psutil.wait_procs(left, timeout=LIMIT)


def program(name: str, argv: list[str]) -> Program:
    return Program(name, argv, dict(os.environ))


def test_a_record_knows_its_process_until_that_ends(children: Children, settings: Settings) -> None:
    children.start(program("sleeper", SLEEP))
    record = ProcessRecords(settings).read("sleeper")
    assert record
    assert record.alive()
    os.kill(record.pid, signal.SIGKILL)
    # Not yet waited for by its parent: a zombie is dead, though its id still answers signals.
    assert wait_until(lambda: not record.alive(), LIMIT)
    assert wait_until(lambda: not children.alive("sleeper"), LIMIT)
    assert children.ended("sleeper") == "was ended by SIGKILL"


def test_a_recycled_process_id_is_nobody_of_ours(settings: Settings) -> None:
    """A stranger has the id of a record that another process wrote: it is neither alive for us nor a member."""
    stranger = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        now = identity(stranger.pid)
        assert now
        boot, _, ticks = now.partition(":")
        folder = ProcessRecords(settings).folder
        folder.mkdir(parents=True)
        for name, told in {"earlier": f"{boot}:{int(ticks) - 1}", "before-the-boot": f"another:{ticks}"}.items():
            record = ProcessRecord(name, stranger.pid, told, 0.0)
            (folder / f"{name}.json").write_text(json.dumps(record.__dict__))
            assert not record.alive()
        assert members(settings) == []
    finally:
        stranger.kill()
        stranger.wait()


def test_members_are_found_in_other_sessions_and_without_the_mark(children: Children, settings: Settings) -> None:
    """One grandchild leaves the session, one loses the environment: both still belong to the stack."""
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
    # the parent is gone, its children belong to nobody
    assert wait_until(lambda: {process.pid for process in members(settings)} == grandchildren, LIMIT)
    children.end_session("parent")
    assert wait_until(lambda: len(members(settings)) == 1, LIMIT)  # the one that left the session stays marked


def test_another_stack_is_not_ours(children: Children, settings: Settings, tmp_path: Path) -> None:
    neighbour = subprocess.Popen(SLEEP, env={**os.environ, MARK: str(settings.state_dir) + "-2"})
    try:
        assert members(settings) == []
    finally:
        neighbour.kill()
        neighbour.wait()


def test_an_unreadable_record_is_no_record(settings: Settings) -> None:
    records = ProcessRecords(settings)
    records.folder.mkdir(parents=True)
    (records.folder / "torn.json").write_text('{"name": "torn", "pi')
    (records.folder / "older.json").write_text('{"name": "older"}')
    assert records.all() == []


def test_a_large_log_is_put_aside(children: Children, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weatherglass.launcher.processes.LOG_BYTES", 10)
    talk = [sys.executable, "-c", "print('something longer than ten bytes')"]
    for _ in range(2):
        children.start(program("talker", talk))
        assert wait_until(lambda: not children.alive("talker"), LIMIT)
    assert children.succeeded("talker")
    assert "longer" in children.log("talker").with_suffix(".log.1").read_text()
    assert "longer" in children.log("talker").read_text()
