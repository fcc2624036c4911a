"""The end of the container in which the jobs run, with a real job."""

from __future__ import annotations

import sys

import pytest

from tests.waiting import until
from weatherglass.jobs.folder import JobFolder, StartRequest
from weatherglass.jobs.host import Host, HostTimeouts
from weatherglass.launcher import job_container
from weatherglass.launcher.job_container import finish
from weatherglass.settings import PROJECT_ROOT, Settings

pytestmark = pytest.mark.integration

FAKE_JOB = PROJECT_ROOT / "tests" / "fake_job.py"


@pytest.mark.parametrize(
    ("manner", "patience", "by_itself"), [("polite", HostTimeouts(60, 60), True), ("deaf", HostTimeouts(1, 0.5), False)]
)
def test_jobs_are_asked_to_finish_and_none_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, manner: str, patience: HostTimeouts, by_itself: bool
) -> None:
    monkeypatch.setattr(job_container, "JOBS_SECONDS", 120.0)  # a slow machine is not the matter here
    host = Host(settings.jobs_dir, patience)
    folder = JobFolder(settings.jobs_dir / "features")
    folder.request_start(StartRequest([sys.executable, "-P", str(FAKE_JOB), str(folder.path), manner]))
    until("the job", lambda: (folder.alive() and folder.heartbeat.exists()) or host.look())
    finish(host, settings)
    assert not folder.alive()
    assert folder.outcome().ok is by_itself
    host.close()
