"""The job host: the process that starts and ends the long-lived jobs. `python -m weatherglass.jobs.host`

It polls the job folders (see `weatherglass.jobs`), acquires the lock of a job that is to start, passes it to the job's
process, and ends jobs that do not stop on request. It makes no decisions and restarts nothing. Jobs run in their own
sessions and survive the host; the next host finds them by their locks and by `process.json`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from weatherglass.jobs import processes
from weatherglass.jobs.folder import HOST_LOCK, JobFolder, StartRequest
from weatherglass.records import iso
from weatherglass.settings import load_settings
from weatherglass.settings_errors import SettingsError

log = logging.getLogger("weatherglass.jobs.host")

POLL_SECONDS = 0.2
"""Interval between two polls of the folders. A poll takes a few microseconds per job."""

MAX_LOG_BYTES = 10_000_000
"""Size at which `job.log` is moved to `job.log.1`."""

POLLS_BETWEEN_LOG_ROTATIONS = 50


class HostAlreadyRunningError(RuntimeError):
    """A job host is already running for this folder."""


@dataclass(frozen=True)
class HostTimeouts:
    """Seconds to wait after a stop request before SIGTERM, and from there before SIGKILL."""

    before_term: float = 20.0
    before_kill: float = 5.0


@dataclass
class PendingStop:
    """A stop request being processed: when it was first seen (monotonic clock), and whether SIGTERM was sent."""

    since: float
    terminated: bool = False


class JobHost:
    """Starts and ends the jobs of all folders in `jobs_dir`.

    Raises:
        HostAlreadyRunningError: from the constructor, if a host runs there already.
    """

    def __init__(self, jobs_dir: Path, timeouts: HostTimeouts | None = None):
        self.jobs_dir = jobs_dir
        self.timeouts = timeouts or HostTimeouts()
        self._requests: dict[str, StartRequest] = {}
        """What this host started, by job. Only in memory: the environment may contain secrets."""
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._pending_stops: dict[str, PendingStop] = {}
        self._polls = 0
        jobs_dir.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(jobs_dir / HOST_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise HostAlreadyRunningError(f"another job host is already running for {jobs_dir}") from None

    def close(self) -> None:
        """Release the folder. The jobs keep running."""
        os.close(self._lock)

    def run(self, ending: threading.Event) -> None:
        """Poll until `ending` is set."""
        alive = [folder.name for folder in self._folders() if folder.alive()]
        log.info("Job host started for %s; running jobs: %s", self.jobs_dir, ", ".join(alive) or "none")
        while not ending.wait(POLL_SECONDS):
            self.poll()
        log.info("Job host stopped; jobs keep running")

    def poll(self) -> None:
        """Process every folder once. An error in one of them is logged and does not affect the others."""
        self._polls += 1
        for folder in self._folders():
            try:
                self._check(folder)
            except OSError as error:
                log.error("%s: %s", folder.name, error)

    def _folders(self) -> list[JobFolder]:
        with os.scandir(self.jobs_dir) as entries:
            return [JobFolder(Path(entry.path)) for entry in entries if entry.is_dir()]

    def _check(self, folder: JobFolder) -> None:
        self._reap(folder)
        if folder.kill.exists():
            self._kill(folder)
        elif folder.stop.exists():
            self._stop(folder)
        else:
            self._pending_stops.pop(folder.name, None)
        if folder.start.exists():
            self._start(folder, folder.read_start())
        elif folder.restart.exists():
            self._restart(folder)
        if self._polls % POLLS_BETWEEN_LOG_ROTATIONS == 0:
            rotate_log(folder.log)

    # --- starting

    def _restart(self, folder: JobFolder) -> None:
        if request := self._requests.get(folder.name):
            self._start(folder, request)
        else:
            log.info("%s: another host started it, so its command is not known", folder.name)
            folder.restart.unlink(missing_ok=True)

    def _start(self, folder: JobFolder, request: StartRequest | None) -> None:
        descriptor = folder.try_lock()
        if descriptor is None:
            if folder.alive() and not (folder.stop.exists() or folder.kill.exists()):
                log.info("%s: ignoring start request, job is already running", folder.name)
                folder.start.unlink(missing_ok=True)
                folder.restart.unlink(missing_ok=True)
            return  # otherwise it is about to end, or the lock is being tested right now: try again at the next poll
        try:
            for leftover in (folder.stop, folder.kill, folder.exit, folder.heartbeat):
                leftover.unlink(missing_ok=True)
            if request is None:
                log.error("%s: removed invalid start request %s", folder.name, folder.start)
            else:
                self._launch(folder, request, descriptor)
                self._requests[folder.name] = request
            folder.start.unlink(missing_ok=True)
            folder.restart.unlink(missing_ok=True)
        finally:
            os.close(descriptor)  # the job inherited a copy, which keeps the lock

    def _launch(self, folder: JobFolder, request: StartRequest, descriptor: int) -> None:
        self._end_leftovers(folder)
        self._pending_stops.pop(folder.name, None)
        rotate_log(folder.log)
        start_id = uuid.uuid4().hex
        started = {"start_id": start_id, "at": iso(datetime.now(UTC)), "argv": request.argv}
        with folder.log.open("ab") as output:
            output.write(f"==== {started['at']} starting: {' '.join(request.argv)}\n".encode())
            output.flush()
            try:
                process = subprocess.Popen(
                    request.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=folder.path,
                    env={**os.environ, **request.environment, processes.START_ID_VARIABLE: start_id},
                    pass_fds=[descriptor],
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                reason = f"the command cannot be started: {error}"
                folder.write_json(folder.exit, {"ok": False, "reason": reason, "at": started["at"]})
                folder.write_json(folder.process, started)
                log.error("%s: %s", folder.name, reason)
                return
        identity = processes.identity(process.pid)
        folder.write_json(
            folder.process, {**started, "pid": process.pid, "pgid": process.pid, "identity": identity or ""}
        )
        self._children[folder.name] = process
        log.info("%s: started, process %d", folder.name, process.pid)

    def _end_leftovers(self, folder: JobFolder) -> None:
        """Kill processes left over from the last start. The lock is free, so the job has ended."""
        leftovers = processes.signal_processes(signal.SIGKILL, processes.job_processes(folder.started()))
        if leftovers:
            log.warning("%s: killed processes left over from the last start: %s", folder.name, leftovers)

    # --- ending

    def _stop(self, folder: JobFolder) -> None:
        pending = self._pending_stops.get(folder.name)
        if pending is None:
            if not folder.alive():
                return
            pending = self._pending_stops[folder.name] = PendingStop(time.monotonic())
            log.info("%s: stop requested by %s", folder.name, folder.stop_requested_by() or "unknown")
        waited = time.monotonic() - pending.since
        if waited < self.timeouts.before_term or not folder.alive():
            return
        if not pending.terminated:
            pending.terminated = True
            signalled = processes.signal_processes(signal.SIGTERM, processes.job_processes(folder.started()))
            log.warning("%s: did not stop within %.0f s; sent SIGTERM to %s", folder.name, waited, signalled)
        elif waited >= self.timeouts.before_term + self.timeouts.before_kill:
            self._kill(folder)

    def _kill(self, folder: JobFolder) -> None:
        if folder.alive():
            signalled = processes.signal_processes(signal.SIGKILL, processes.job_processes(folder.started()))
            if signalled:
                log.warning("%s: killed %s", folder.name, signalled)
        else:
            folder.kill.unlink(missing_ok=True)

    def _reap(self, folder: JobFolder) -> None:
        process = self._children.get(folder.name)
        if process is None or process.poll() is None:
            return
        del self._children[folder.name]
        self._pending_stops.pop(folder.name, None)
        status = process.returncode
        how = f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
        log.info("%s: ended with %s; %s", folder.name, how, folder.outcome().reason)


def rotate_log(file: Path, limit: int = MAX_LOG_BYTES) -> None:
    """Move a log larger than `limit` bytes to `<name>.1`. It is copied and truncated, because the job keeps it open."""
    with contextlib.suppress(FileNotFoundError):
        if file.stat().st_size > limit:
            shutil.copyfile(file, file.with_name(file.name + ".1"))
            os.truncate(file, 0)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        host = JobHost(load_settings().jobs_dir)
    except (SettingsError, HostAlreadyRunningError) as error:
        log.error("%s", error)
        return 1
    host.run(ending)
    host.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
