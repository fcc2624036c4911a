"""The job host with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import waiting
from weatherglass.jobs import processes
from weatherglass.jobs.folder import JobFolder, StartRequest
from weatherglass.jobs.host import AnotherHostError, Host, HostTimeouts, bound_log

pytestmark = pytest.mark.integration

FAKE_JOB = Path(__file__).resolve().parents[2] / "fake_job.py"
GENEROUS = HostTimeouts(before_term=60, before_kill=60)
"""A job that heeds a stop has its time for it, also on a slow machine."""


def request(folder: JobFolder, manner: str = "polite") -> StartRequest:
    return StartRequest([sys.executable, "-P", str(FAKE_JOB), str(folder.path), manner])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[JobFolder]:
    folder = JobFolder(tmp_path / "jobs" / "features")
    yield folder
    processes.send(signal.SIGKILL, processes.members(folder.started()))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path / "jobs", GENEROUS)
    yield host
    host.close()


def until(host: Host, condition: Callable[[], object], what: str) -> None:
    """Let the host look until the condition holds."""
    waiting.until(what, lambda: condition() or host.look())


def start(host: Host, folder: JobFolder, manner: str = "polite") -> psutil.Process:
    """Start the fake job and wait until it works."""
    folder.request_start(request(folder, manner))
    until(host, lambda: folder.alive() and folder.heartbeat.exists(), "the job starts")
    return psutil.Process(folder.started()["pid"])


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_requested_job_is_started_in_a_session_of_its_own_and_the_request_is_taken(
    host: Host, folder: JobFolder
) -> None:
    process = start(host, folder)
    assert os.getsid(process.pid) == process.pid
    assert not folder.start.exists()
    assert folder.started()["argv"] == request(folder).argv
    until(host, folder.last_progress, "progress")


def test_the_lock_tells_the_truth_until_the_last_process_is_gone(host: Host, folder: JobFolder) -> None:
    process = start(host, folder)
    assert folder.try_lock() is None
    process.kill()
    until(host, lambda: not folder.alive(), "the lock is free")
    assert not folder.outcome().ok
    until(host, lambda: not process.is_running(), "the dead child is reaped, no zombie stays")


def test_a_stop_is_heeded_and_the_job_has_the_last_word(host: Host, folder: JobFolder) -> None:
    start(host, folder)
    folder.request_stop("the reader")
    until(host, lambda: not folder.alive(), "the job stops")
    assert folder.outcome().ok
    assert "the reader" in folder.outcome().why


def test_an_unheeded_stop_ends_in_a_kill(host: Host, folder: JobFolder) -> None:
    process = start(host, folder, "deaf")
    host.patience = HostTimeouts(before_term=0.5, before_kill=0.5)
    folder.request_stop("the reader")
    until(host, lambda: gone(process), "the deaf job is killed")
    assert not folder.alive()
    assert not folder.outcome().ok


def test_a_kill_takes_the_children_along_even_those_that_left_the_session(host: Host, folder: JobFolder) -> None:
    process = start(host, folder, "forks")
    until(host, (folder.path / "child.pid").exists, "the child starts")
    child = psutil.Process(int((folder.path / "child.pid").read_text()))
    folder.request_kill("the supervisor")
    until(host, lambda: gone(process) and gone(child), "both are gone")
    until(host, lambda: not folder.kill.exists(), "the kill is done with")


def test_what_the_last_start_left_behind_is_gone_before_the_next(host: Host, folder: JobFolder) -> None:
    process = start(host, folder, "forks")
    until(host, (folder.path / "child.pid").exists, "the child starts")
    child = psutil.Process(int((folder.path / "child.pid").read_text()))
    process.kill()
    until(host, lambda: not folder.alive(), "the lock is free")
    assert child.is_running()
    start(host, folder)
    assert gone(child)


def test_a_second_start_of_a_living_job_starts_nothing(host: Host, folder: JobFolder) -> None:
    first = start(host, folder)
    folder.request_start(request(folder))
    until(host, lambda: not folder.start.exists(), "the request is taken")
    assert folder.started()["pid"] == first.pid
    assert folder.alive()


def test_a_start_during_a_stop_waits_for_the_end(host: Host, folder: JobFolder) -> None:
    first = start(host, folder)
    folder.request_stop("the reader")
    folder.request_start(request(folder))
    until(host, lambda: folder.started()["pid"] != first.pid and folder.alive(), "the next one starts")
    assert gone(first)
    assert not folder.stop.exists()


def test_old_markers_do_not_touch_a_new_job(host: Host, folder: JobFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.request_stop("somebody, long ago")
    folder.request_kill("somebody, long ago")
    folder.write_json(folder.exit, {"ok": True, "why": "long ago"})
    process = start(host, folder)
    until(host, folder.last_progress, "progress")
    assert not folder.stop.exists()
    assert not folder.exit.exists()
    assert process.is_running()


def test_a_command_that_does_not_exist_is_said_in_the_outcome(host: Host, folder: JobFolder) -> None:
    folder.request_start(StartRequest(["/nowhere/spark-submit"]))
    until(host, lambda: not folder.start.exists(), "the request is taken")
    assert not folder.alive()
    assert "/nowhere/spark-submit" in folder.outcome().why


def test_an_unreadable_request_is_removed(host: Host, folder: JobFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.start.write_text("{half a requ")
    until(host, lambda: not folder.start.exists(), "the request is dropped")
    assert not folder.alive()


def test_there_is_one_host(host: Host) -> None:
    with pytest.raises(AnotherHostError, match=str(host.jobs_dir)):
        Host(host.jobs_dir)


def test_a_recycled_process_id_is_not_taken_for_the_job() -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        noted = {"start_id": "another", "pgid": stranger.pid, "created": processes.created(stranger.pid) - 100}
        assert processes.members(noted) == []
        assert [p.pid for p in processes.members({**noted, "created": noted["created"] + 100})] == [stranger.pid]
    finally:
        stranger.kill()
        stranger.wait()


def test_a_killed_host_leaves_its_jobs_and_the_next_one_can_end_them(tmp_path: Path, folder: JobFolder) -> None:
    environment = {**os.environ, "WEATHERGLASS_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "weatherglass.jobs.host"]
    first = subprocess.Popen(command, env=environment)
    try:
        folder.request_start(request(folder))
        # The job may beat before the host has noted whom it started.
        pid = waiting.until("the job", lambda: folder.heartbeat.exists() and folder.started().get("pid"))
    finally:
        first.kill()
        first.wait()
    assert folder.alive()
    second = Host(tmp_path / "jobs")
    try:
        second.look()
        assert folder.started()["pid"] == pid
        folder.request_kill("the supervisor")
        until(second, lambda: not folder.alive(), "the next host kills the job")
    finally:
        second.close()


def test_a_log_beyond_its_bound_is_moved_while_the_job_keeps_writing(tmp_path: Path) -> None:
    file = tmp_path / "job.log"
    with file.open("ab", buffering=0) as output:
        output.write(b"x" * 100)
        bound_log(file, limit=50)
        output.write(b"after\n")
    assert file.read_bytes() == b"after\n"
    assert (tmp_path / "job.log.1").read_bytes() == b"x" * 100
