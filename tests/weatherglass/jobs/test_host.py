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
from weatherglass.jobs.host import HostAlreadyRunningError, HostTimeouts, JobHost, rotate_log

pytestmark = pytest.mark.integration

FAKE_JOB = Path(__file__).resolve().parents[2] / "fake_job.py"
LONG_TIMEOUTS = HostTimeouts(before_term=60, before_kill=60)
"""Enough time for a job to stop by itself on a slow machine."""


def request(folder: JobFolder, mode: str = "cooperative") -> StartRequest:
    return StartRequest([sys.executable, "-P", str(FAKE_JOB), str(folder.path), mode])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[JobFolder]:
    folder = JobFolder(tmp_path / "jobs" / "features")
    yield folder
    processes.signal_processes(signal.SIGKILL, processes.job_processes(folder.started()))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[JobHost]:
    host = JobHost(tmp_path / "jobs", LONG_TIMEOUTS)
    yield host
    host.close()


def until(host: JobHost, condition: Callable[[], object], what: str) -> None:
    """Let the host poll until the condition holds."""
    waiting.until(what, lambda: condition() or host.poll())


def start(host: JobHost, folder: JobFolder, mode: str = "cooperative") -> psutil.Process:
    """Start the fake job and wait for its first heartbeat."""
    folder.request_start(request(folder, mode))
    until(host, lambda: folder.alive() and folder.heartbeat.exists(), "the job starts")
    return psutil.Process(folder.started()["pid"])


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_requested_job_is_started_in_its_own_session_and_the_request_is_removed(
    host: JobHost, folder: JobFolder
) -> None:
    process = start(host, folder)
    assert os.getsid(process.pid) == process.pid
    assert not folder.start.exists()
    assert folder.started()["argv"] == request(folder).argv
    until(host, folder.last_progress, "progress")


def test_the_lock_is_held_until_the_last_process_has_ended(host: JobHost, folder: JobFolder) -> None:
    process = start(host, folder)
    assert folder.try_lock() is None
    process.kill()
    until(host, lambda: not folder.alive(), "the lock is free")
    assert not folder.outcome().ok
    until(host, lambda: not process.is_running(), "the child is reaped and leaves no zombie")


def test_a_stop_request_ends_the_job_with_its_own_outcome(host: JobHost, folder: JobFolder) -> None:
    start(host, folder)
    folder.request_stop("operator")
    until(host, lambda: not folder.alive(), "the job stops")
    assert folder.outcome().ok
    assert "operator" in folder.outcome().reason


def test_a_job_that_ignores_the_stop_request_is_killed(host: JobHost, folder: JobFolder) -> None:
    process = start(host, folder, "ignores-stop")
    host.timeouts = HostTimeouts(before_term=0.5, before_kill=0.5)
    folder.request_stop("operator")
    until(host, lambda: has_ended(process), "the job is killed")
    assert not folder.alive()
    assert not folder.outcome().ok


def test_a_kill_includes_child_processes_in_other_sessions(host: JobHost, folder: JobFolder) -> None:
    process = start(host, folder, "forks")
    until(host, (folder.path / "child.pid").exists, "the child starts")
    child = psutil.Process(int((folder.path / "child.pid").read_text()))
    folder.request_kill("the supervisor")
    until(host, lambda: has_ended(process) and has_ended(child), "both have ended")
    until(host, lambda: not folder.kill.exists(), "the kill request is removed")


def test_processes_left_over_from_the_last_start_are_killed_before_the_next(host: JobHost, folder: JobFolder) -> None:
    process = start(host, folder, "forks")
    until(host, (folder.path / "child.pid").exists, "the child starts")
    child = psutil.Process(int((folder.path / "child.pid").read_text()))
    process.kill()
    until(host, lambda: not folder.alive(), "the lock is free")
    assert child.is_running()
    start(host, folder)
    assert has_ended(child)


def test_a_start_request_for_a_running_job_is_ignored(host: JobHost, folder: JobFolder) -> None:
    first = start(host, folder)
    folder.request_start(request(folder))
    until(host, lambda: not folder.start.exists(), "the request is removed")
    assert folder.started()["pid"] == first.pid
    assert folder.alive()


def test_a_start_request_during_a_stop_is_processed_after_the_end(host: JobHost, folder: JobFolder) -> None:
    first = start(host, folder)
    folder.request_stop("operator")
    folder.request_start(request(folder))
    until(host, lambda: folder.started()["pid"] != first.pid and folder.alive(), "the next one starts")
    assert has_ended(first)
    assert not folder.stop.exists()


def test_old_stop_and_kill_requests_do_not_affect_a_new_start(host: JobHost, folder: JobFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.request_stop("earlier request")
    folder.request_kill("earlier request")
    folder.write_json(folder.exit, {"ok": True, "reason": "earlier end"})
    process = start(host, folder)
    until(host, folder.last_progress, "progress")
    assert not folder.stop.exists()
    assert not folder.exit.exists()
    assert process.is_running()


def test_a_command_that_does_not_exist_is_named_in_the_outcome(host: JobHost, folder: JobFolder) -> None:
    folder.request_start(StartRequest(["/nowhere/spark-submit"]))
    until(host, lambda: not folder.start.exists(), "the request is removed")
    assert not folder.alive()
    assert "/nowhere/spark-submit" in folder.outcome().reason


def test_an_invalid_start_request_is_removed(host: JobHost, folder: JobFolder) -> None:
    folder.path.mkdir(parents=True)
    folder.start.write_text("{truncated")
    until(host, lambda: not folder.start.exists(), "the request is removed")
    assert not folder.alive()


def test_a_restart_repeats_the_last_command_with_its_environment(host: JobHost, folder: JobFolder) -> None:
    shown = folder.path / "shown"
    code = f"import os; open({str(shown)!r}, 'a').write(os.environ['SHOWN'])"
    folder.request_start(StartRequest([sys.executable, "-c", code], {"SHOWN": "x"}))
    until(host, lambda: shown.exists() and shown.read_text() == "x" and not folder.alive(), "the first process ends")
    folder.request_restart()
    until(host, lambda: shown.read_text() == "xx", "the second process")
    assert not folder.restart.exists()


def test_a_restart_of_a_command_that_another_host_has_started_is_refused(host: JobHost, folder: JobFolder) -> None:
    folder.request_restart()
    folder.write_json(folder.exit, {"ok": False, "reason": "earlier end"})
    until(host, lambda: not folder.restart.exists(), "the request is removed")
    assert not folder.alive()
    assert folder.outcome().reason == "earlier end"


def test_a_restart_of_a_running_job_is_ignored(host: JobHost, folder: JobFolder) -> None:
    first = start(host, folder)
    folder.request_restart()
    until(host, lambda: not folder.restart.exists(), "the request is removed")
    assert folder.started()["pid"] == first.pid


def test_a_second_host_for_the_same_folder_is_refused(host: JobHost) -> None:
    with pytest.raises(HostAlreadyRunningError, match=str(host.jobs_dir)):
        JobHost(host.jobs_dir)


def test_a_recycled_process_id_is_not_a_process_of_the_job() -> None:
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        boot, _, ticks = str(processes.identity(other.pid)).partition(":")
        started = {"start_id": "another", "pid": other.pid, "pgid": other.pid}
        assert processes.job_processes({**started, "identity": f"{boot}:{int(ticks) - 1}"}) == []
        assert processes.job_processes({**started, "identity": f"another:{ticks}"}) == []
        own = processes.job_processes({**started, "identity": f"{boot}:{ticks}"})
        assert [process.pid for process in own] == [other.pid]
    finally:
        other.kill()
        other.wait()


def test_jobs_survive_a_killed_host_and_the_next_host_can_end_them(tmp_path: Path, folder: JobFolder) -> None:
    environment = {**os.environ, "WEATHERGLASS_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "weatherglass.jobs.host"]
    first = subprocess.Popen(command, env=environment)
    try:
        folder.request_start(request(folder))
        # The job may touch its heartbeat before the host has written process.json.
        pid = waiting.until("the job", lambda: folder.heartbeat.exists() and folder.started().get("pid"))
    finally:
        first.kill()
        first.wait()
    assert folder.alive()
    second = JobHost(tmp_path / "jobs")
    try:
        second.poll()
        assert folder.started()["pid"] == pid
        folder.request_kill("the supervisor")
        until(second, lambda: not folder.alive(), "the next host kills the job")
    finally:
        second.close()


def test_a_log_beyond_the_limit_is_rotated_while_the_job_keeps_writing(tmp_path: Path) -> None:
    file = tmp_path / "job.log"
    with file.open("ab", buffering=0) as output:
        output.write(b"x" * 100)
        rotate_log(file, limit=50)
        output.write(b"after\n")
    assert file.read_bytes() == b"after\n"
    assert (tmp_path / "job.log.1").read_bytes() == b"x" * 100
