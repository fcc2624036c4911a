"""The job host: the one small process that starts and ends the long-lived jobs. `python -m weatherglass.jobs.host`

It watches the job folders (see `weatherglass.jobs`), takes the lock of a job that is to start, gives it to the job's
process, and ends jobs that are asked to stop and don't. It decides nothing and restarts nothing. Jobs run in sessions
of their own and outlive the host; the next host knows them by their locks and by `process.json`.
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
from weatherglass.settings import SettingsError, load_settings

log = logging.getLogger("weatherglass.jobs.host")

TICK = 0.2
"""Seconds between two looks at the folders; a look costs some microseconds a job."""

LOG_BYTES = 10_000_000
"""`job.log` is moved to `job.log.1` beyond this."""

LOOKS_BETWEEN_LOG_CHECKS = 50


class AnotherHostError(RuntimeError):
    """A host already looks after this folder."""


@dataclass(frozen=True)
class HostTimeouts:
    """How long an unheeded stop waits before the next step, seconds."""

    before_term: float = 20.0
    before_kill: float = 5.0


@dataclass
class Stopping:
    """A stop that is under way: since when, on the monotonic clock, and whether TERM was sent."""

    since: float
    terminated: bool = False


class Host:
    """Looks after all job folders below `jobs_dir`.

    Raises:
        AnotherHostError: from the constructor, if a host runs there already.
    """

    def __init__(self, jobs_dir: Path, patience: HostTimeouts | None = None):
        self.jobs_dir = jobs_dir
        self.patience = patience or HostTimeouts()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping: dict[str, Stopping] = {}
        self._looks = 0
        jobs_dir.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(jobs_dir / HOST_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise AnotherHostError(f"a job host already looks after {jobs_dir}; one is enough") from None

    def close(self) -> None:
        """Give up the folder; the jobs live on."""
        os.close(self._lock)

    def run(self, ending: threading.Event) -> None:
        """Look again and again until `ending` is set."""
        living = [folder.name for folder in self._folders() if folder.alive()]
        log.info("looking after %s; running there: %s", self.jobs_dir, ", ".join(living) or "nothing")
        while not ending.wait(TICK):
            self.look()
        log.info("the host ends; the jobs live on")

    def look(self) -> None:
        """One look at every folder. A fault in one of them is said and does not keep the others waiting."""
        self._looks += 1
        for folder in self._folders():
            try:
                self._look_at(folder)
            except OSError as error:
                log.error("%s: %s", folder.name, error)

    def _folders(self) -> list[JobFolder]:
        with os.scandir(self.jobs_dir) as entries:
            return [JobFolder(Path(entry.path)) for entry in entries if entry.is_dir()]

    def _look_at(self, folder: JobFolder) -> None:
        self._reap(folder)
        if folder.kill.exists():
            self._kill(folder)
        elif folder.stop.exists():
            self._stop(folder)
        else:
            self._stopping.pop(folder.name, None)
        if folder.start.exists():
            self._start(folder)
        if self._looks % LOOKS_BETWEEN_LOG_CHECKS == 0:
            bound_log(folder.log)

    # --- starting

    def _start(self, folder: JobFolder) -> None:
        descriptor = folder.try_lock()
        if descriptor is None:
            if folder.alive() and not (folder.stop.exists() or folder.kill.exists()):
                log.info("%s: asked to start, but it runs already", folder.name)
                folder.start.unlink(missing_ok=True)
            return  # else it is about to end (or somebody looked at the lock this very moment): the request waits
        try:
            request = folder.read_start()
            for leftover in (folder.stop, folder.kill, folder.exit, folder.heartbeat):
                leftover.unlink(missing_ok=True)
            if request is None:
                log.error("%s: %s is no start request; removed", folder.name, folder.start)
            else:
                self._launch(folder, request, descriptor)
            folder.start.unlink(missing_ok=True)
        finally:
            os.close(descriptor)  # the job has its own copy: the lock lives as long as that

    def _launch(self, folder: JobFolder, request: StartRequest, descriptor: int) -> None:
        self._end_leftovers(folder)
        self._stopping.pop(folder.name, None)
        bound_log(folder.log)
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
                    env={**os.environ, **request.environment, processes.START_ID: start_id},
                    pass_fds=[descriptor],
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                why = f"the command cannot be started: {error}"
                folder.write_json(folder.exit, {"ok": False, "why": why, "at": started["at"]})
                folder.write_json(folder.process, started)
                log.error("%s: %s", folder.name, why)
                return
        created = processes.created(process.pid)
        folder.write_json(
            folder.process, {**started, "pid": process.pid, "pgid": process.pid, "created": created or 0.0}
        )
        self._children[folder.name] = process
        log.info("%s: started, process %d", folder.name, process.pid)

    def _end_leftovers(self, folder: JobFolder) -> None:
        """The lock is free, so the job is over; what its last start left behind must not meddle with the next."""
        leftovers = processes.send(signal.SIGKILL, processes.members(folder.started()))
        if leftovers:
            log.warning("%s: killed what was left of the last start: %s", folder.name, leftovers)

    # --- ending

    def _stop(self, folder: JobFolder) -> None:
        stopping = self._stopping.get(folder.name)
        if stopping is None:
            if not folder.alive():
                return
            stopping = self._stopping[folder.name] = Stopping(time.monotonic())
            log.info("%s: asked to stop by %s", folder.name, folder.stop_requested_by() or "somebody")
        waited = time.monotonic() - stopping.since
        if waited < self.patience.before_term or not folder.alive():
            return
        if not stopping.terminated:
            stopping.terminated = True
            reached = processes.send(signal.SIGTERM, processes.members(folder.started()))
            log.warning("%s: did not stop in %.0f s; sent TERM to %s", folder.name, waited, reached)
        elif waited >= self.patience.before_term + self.patience.before_kill:
            self._kill(folder)

    def _kill(self, folder: JobFolder) -> None:
        if folder.alive():
            reached = processes.send(signal.SIGKILL, processes.members(folder.started()))
            if reached:
                log.warning("%s: killed %s", folder.name, reached)
        else:
            folder.kill.unlink(missing_ok=True)

    def _reap(self, folder: JobFolder) -> None:
        process = self._children.get(folder.name)
        if process is None or process.poll() is None:
            return
        del self._children[folder.name]
        self._stopping.pop(folder.name, None)
        status = process.returncode
        how = f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
        log.info("%s: ended with %s; %s", folder.name, how, folder.outcome().why)


def bound_log(file: Path, limit: int = LOG_BYTES) -> None:
    """Move a log that grew beyond `limit` bytes to `<name>.1`. Copied and cut, since the job keeps it open."""
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
        host = Host(load_settings().jobs_dir)
    except (SettingsError, AnotherHostError) as error:
        log.error("%s", error)
        return 1
    host.run(ending)
    host.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
