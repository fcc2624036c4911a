"""The container of the long-lived jobs: the job host, and a node of the Ray cluster beside it.

On one machine the jobs outlive their host. A container's end is also its jobs' end, so here they are asked to finish
first. The watcher of the inference actors is a Ray driver and needs a Ray node on its own host; this one offers no CPU.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time

from weatherglass.jobs.host import TICK, Host
from weatherglass.launcher.ray_head import OBJECT_STORE_BYTES
from weatherglass.launcher.stopping import JOBS_SECONDS, WHO, job_folders
from weatherglass.settings import Settings

log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0
"""Before a Ray node that has ended, as it does when the head is gone, is started again."""


class RayNode:
    """A node of the Ray cluster without CPUs, started again whenever it ends."""

    def __init__(self, settings: Settings):
        store = f"--object-store-memory={OBJECT_STORE_BYTES}"
        self._command = ["ray-node", f"--address={settings.ray_head}", "--num-cpus=0", store]
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = 0.0

    def keep(self) -> None:
        """Start it, or start it again."""
        if self._process is not None and self._process.poll() is not None:
            log.warning("the Ray node ended with exit status %s; starting it again", self._process.returncode)
            self._process, self._ended = None, time.monotonic()
        if self._process is None and time.monotonic() - self._ended >= AGAIN_SECONDS:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()


def run(settings: Settings) -> int:
    """Host the jobs until TERM or INT, then let them finish."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    host, node = Host(settings.jobs_dir), RayNode(settings)
    log.info("looking after %s", settings.jobs_dir)
    while not ending.wait(TICK):
        host.look()
        node.keep()
    finish(host, settings)
    node.end()
    host.close()
    return 0


def finish(host: Host, settings: Settings) -> None:
    """Ask all jobs to stop, and wait until they have; the host ends those that do not heed it."""
    jobs = [folder for folder in job_folders(settings) if folder.alive()]
    log.info("ending; first %s", ", ".join(folder.name for folder in jobs) or "nothing")
    for folder in jobs:
        folder.request_stop(WHO)
    end = time.monotonic() + JOBS_SECONDS + 5
    while any(folder.alive() for folder in jobs) and time.monotonic() < end:
        host.look()
        time.sleep(TICK)
