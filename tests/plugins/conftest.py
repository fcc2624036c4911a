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
from weatherglass.jobs.host import Host, Patience

FAKE_JOB = Path(__file__).resolve().parents[1] / "fake_job.py"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[JobFolder]:
    folder = JobFolder(tmp_path / "jobs" / "features")
    yield folder
    processes.send(signal.SIGKILL, processes.members(folder.started()))


@pytest.fixture
def job_host(folder: JobFolder) -> Iterator[Host]:
    """Looks after the folder in a thread of its own; it is quick to lose patience."""
    host = Host(folder.path.parent, Patience(before_term=1, before_kill=1))
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
