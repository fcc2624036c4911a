"""The end of the container in which the jobs run, with a real job."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from stack.job_container import finish
from weatherglass.jobs.folder import JobFolder, StartRequest
from weatherglass.jobs.host import Host, Patience
from weatherglass.settings import Settings

pytestmark = pytest.mark.integration

FAKE_JOB = Path(__file__).resolve().parents[1] / "fake_job.py"


@pytest.mark.parametrize(("manner", "by_itself"), [("polite", True), ("deaf", False)])
def test_jobs_are_asked_to_finish_and_none_is_left(settings: Settings, manner: str, by_itself: bool) -> None:
    host = Host(settings.jobs_dir, Patience(before_term=1.0, before_kill=0.5))
    folder = JobFolder(settings.jobs_dir / "features")
    folder.request_start(StartRequest([sys.executable, "-P", str(FAKE_JOB), str(folder.path), manner]))
    end = time.monotonic() + 60
    while not (folder.alive() and folder.heartbeat.exists()):
        assert time.monotonic() < end, "the job does not start"
        host.look()
        time.sleep(0.05)
    finish(host, settings)
    assert not folder.alive()
    assert folder.outcome().ok is by_itself
    host.close()
