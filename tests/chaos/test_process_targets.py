"""Finding the processes of a state folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.process_targets import is_measured, processes
from tests.waiting import until
from weatherglass.jobs.processes import identity

PARENT = "import subprocess, sys; c = [subprocess.Popen([sys.executable, '-c', 'input()']) for _ in range(2)]; input()"


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE)
    until("the children", lambda: len(psutil.Process(process.pid).children()) == 2)
    children = psutil.Process(process.pid).children()
    yield process
    for one in (*children, psutil.Process(process.pid)):
        one.kill()
    process.communicate()


def record(state: Path, file: str, pid: int, is_same: bool = True) -> None:
    path = state / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": pid, "identity": identity(pid) if is_same else "another"}))


def test_recorded_processes_and_their_children_have_names(tmp_path: Path, parent: subprocess.Popen[bytes]) -> None:
    first, second = psutil.Process(parent.pid).children()
    record(tmp_path, "run/ray.json", parent.pid)
    record(tmp_path, "jobs/monitor/process.json", second.pid)
    found = processes(tmp_path)
    assert found.pop("ray").pid == parent.pid
    assert found.pop("job/monitor").pid == second.pid
    ((name, child),) = found.items()
    assert child.pid == first.pid
    assert name.startswith("ray/")


def test_a_process_has_the_name_of_its_nearest_recorded_ancestor(
    tmp_path: Path, parent: subprocess.Popen[bytes]
) -> None:
    record(tmp_path, "run/launcher.json", os.getpid())
    record(tmp_path, "run/ray.json", parent.pid)
    names = {name: process.pid for name, process in processes(tmp_path).items()}
    children = {child.pid for child in psutil.Process(parent.pid).children()}
    assert {pid for name, pid in names.items() if name.startswith("ray/")} == children


def test_children_with_the_same_program_have_different_names(tmp_path: Path, parent: subprocess.Popen[bytes]) -> None:
    record(tmp_path, "run/ray.json", parent.pid)
    assert len(processes(tmp_path)) == 3


def test_a_process_with_the_id_of_an_ended_one_is_left_out(tmp_path: Path, parent: subprocess.Popen[bytes]) -> None:
    record(tmp_path, "run/kafka.json", parent.pid, is_same=False)
    assert processes(tmp_path) == {}


def test_damaged_records_and_ended_processes_are_left_out(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    record(tmp_path, "run/kafka.json", ended.pid)
    (tmp_path / "run" / "ray.json").write_text('{"pid": "x", "identity": "y"}')
    (tmp_path / "run" / "empty.json").write_text("")
    (tmp_path / "run" / "list.json").write_text("[]")
    assert processes(tmp_path) == {}


def test_recovery_is_measured_of_processes_that_do_different_work() -> None:
    names = ["kafka", "ray/raylet", "ray/ray::InferenceActor", "job/stream_features", "job/store_predictions"]
    assert all(map(is_measured, names))
    others = ["launcher", "ray/python-3", "scheduler/airflow-2", "launcher/airflow", "job/stream_features/python"]
    assert not any(map(is_measured, others))
