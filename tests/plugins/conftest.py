"""A job host that really runs, and a fake job for it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import airflow_home  # noqa: F401 (before Airflow is imported)
from weatherglass.jobs import processes
from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.host import Host, HostTimeouts

FAKE_JOB = Path(__file__).resolve().parents[1] / "fake_job.py"
GENEROUS = 120.0
HASTY = HostTimeouts(before_term=1, before_kill=1)
"""For a host with a deaf job; one that heeds a stop has its time for it, also on a slow machine."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[JobFolder]:
    folder = JobFolder(tmp_path / "jobs" / "features")
    yield folder
    processes.send(signal.SIGKILL, processes.members(folder.started()))


@pytest.fixture
def job_host(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Looks after the folder in a thread of its own; it and who waits for it have patience."""
    for limit in ("operator.TAKE_SECONDS", "operator.END_SECONDS", "trigger.STOP_SECONDS", "trigger.KILL_SECONDS"):
        monkeypatch.setattr(f"plugins.supervision.{limit}", GENEROUS)
    host = Host(folder.path.parent, HostTimeouts(before_term=GENEROUS, before_kill=GENEROUS))
    ending = threading.Event()
    thread = threading.Thread(target=host.run, args=(ending,))
    thread.start()
    yield host
    ending.set()
    thread.join()
    host.close()


@pytest.fixture
def command(folder: JobFolder) -> Callable[[str], list[str]]:
    """The command of a fake job in this folder that behaves in the given manner."""
    return lambda manner: [sys.executable, "-P", str(FAKE_JOB), str(folder.path), manner]
