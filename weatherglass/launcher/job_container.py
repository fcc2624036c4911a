"""The container of the long-lived jobs: the job host and a node of the Ray cluster.

On one machine the jobs outlive their host. Here they end with the container, so they are stopped first. The supervisor
of the inference actors is a Ray driver and needs a Ray node on its host; this node offers no CPU.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time

from weatherglass.jobs.host import POLL_SECONDS, JobHost
from weatherglass.launcher.ray_head import OBJECT_STORE_BYTES
from weatherglass.launcher.stopping import JOBS_SECONDS, REQUESTED_BY, job_folders
from weatherglass.settings import Settings
from weatherglass.waiting import wait_until

log = logging.getLogger(__name__)

RESTART_SECONDS = 2.0
"""Delay before a Ray node that exited is restarted; it exits when the head is gone."""


class RayNode:
    """A node of the Ray cluster without CPUs that is restarted when it exits."""

    def __init__(self, settings: Settings):
        store = f"--object-store-memory={OBJECT_STORE_BYTES}"
        self._command = ["ray-node", f"--address={settings.ray_head}", "--num-cpus=0", store]
        self._process: subprocess.Popen[bytes] | None = None
        self._exited_at = 0.0

    def ensure_running(self) -> None:
        """Start the node if it is not running."""
        if self._process is not None and self._process.poll() is not None:
            log.warning("the Ray node exited with status %s; restarting it", self._process.returncode)
            self._process, self._exited_at = None, time.monotonic()
        if self._process is None and time.monotonic() - self._exited_at >= RESTART_SECONDS:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()


def run(settings: Settings) -> int:
    """Host the jobs until SIGTERM or SIGINT, then stop them."""
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    host, node = JobHost(settings.jobs_dir), RayNode(settings)
    log.info("hosting the jobs in %s", settings.jobs_dir)
    while not stop_requested.wait(POLL_SECONDS):
        host.poll()
        node.ensure_running()
    stop_jobs(host, settings)
    node.terminate()
    host.close()
    return 0


def stop_jobs(host: JobHost, settings: Settings) -> None:
    """Request a stop of all jobs and wait for it; the host terminates jobs that do not stop in time."""
    jobs = [folder for folder in job_folders(settings) if folder.alive()]
    log.info("stopping jobs: %s", ", ".join(folder.name for folder in jobs) or "none")
    for folder in jobs:
        folder.request_stop(REQUESTED_BY)

    def stopped() -> bool:
        host.poll()
        return not any(folder.alive() for folder in jobs)

    wait_until(stopped, JOBS_SECONDS + 5, POLL_SECONDS)
