"""A running job host, a fake job for it, and a task instance."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import airflow_home  # noqa: F401 (must precede the import of Airflow)
from weatherglass.jobs import processes
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.host import HostTimeouts, JobHost

FAKE_JOB = Path(__file__).resolve().parents[1] / "fake_job.py"
LONG_TIMEOUT = 120.0
SHORT_TIMEOUTS = HostTimeouts(before_term=1, before_kill=1)
"""For a host with a job that ignores stop requests."""


class TaskInstance:
    """Takes the place of the task instance in the context of a task, and keeps its XComs by key."""

    def __init__(self) -> None:
        self.xcoms: dict[str, object] = {}

    def xcom_push(self, key: str, value: object) -> None:
        self.xcoms[key] = value


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[JobFolder]:
    folder = JobFolder(tmp_path / "jobs" / "features")
    yield folder
    processes.signal_processes(signal.SIGKILL, processes.job_processes(folder.started()))


@pytest.fixture
def job_host(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobHost]:
    """A job host in its own thread. Its timeouts and those of its clients are long enough for a slow machine."""
    for limit in (
        "operator.START_TIMEOUT_SECONDS",
        "operator.STOP_TIMEOUT_SECONDS",
        "trigger.STOP_TIMEOUT_SECONDS",
        "trigger.KILL_TIMEOUT_SECONDS",
    ):
        monkeypatch.setattr(f"plugins.supervision.{limit}", LONG_TIMEOUT)
    host = JobHost(folder.path.parent, HostTimeouts(before_term=LONG_TIMEOUT, before_kill=LONG_TIMEOUT))
    ending = threading.Event()
    thread = threading.Thread(target=host.run, args=(ending,))
    thread.start()
    yield host
    ending.set()
    thread.join()
    host.close()


@pytest.fixture
def command(folder: JobFolder) -> Callable[[str], list[str]]:
    """Returns the command of a fake job in this folder for a mode of `fake_job.py`."""
    return lambda mode: [sys.executable, "-P", str(FAKE_JOB), str(folder.path), mode]
