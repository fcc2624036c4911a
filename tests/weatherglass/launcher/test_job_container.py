"""Stopping the container of the jobs, with a real job."""

from __future__ import annotations

import sys

import pytest

from tests.waiting import until
from weatherglass.jobs.folder import JobFolder, StartRequest
from weatherglass.jobs.host import HostTimeouts, JobHost
from weatherglass.launcher import job_container
from weatherglass.launcher.job_container import stop_jobs
from weatherglass.settings import PROJECT_ROOT, Settings

pytestmark = pytest.mark.integration

FAKE_JOB = PROJECT_ROOT / "tests" / "fake_job.py"


@pytest.mark.parametrize(
    ("mode", "timeouts", "stops_itself"),
    [("cooperative", HostTimeouts(60, 60), True), ("ignores-stop", HostTimeouts(1, 0.5), False)],
)
def test_stop_jobs_ends_jobs_that_cooperate_and_jobs_that_do_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, mode: str, timeouts: HostTimeouts, stops_itself: bool
) -> None:
    monkeypatch.setattr(job_container, "JOBS_SECONDS", 120.0)  # enough on a slow machine
    host = JobHost(settings.jobs_dir, timeouts)
    folder = JobFolder(settings.jobs_dir / "features")
    folder.request_start(StartRequest([sys.executable, "-P", str(FAKE_JOB), str(folder.path), mode]))
    until("the job", lambda: (folder.alive() and folder.heartbeat.exists()) or host.poll())
    stop_jobs(host, settings)
    assert not folder.alive()
    assert folder.outcome().ok is stops_itself
    host.close()
