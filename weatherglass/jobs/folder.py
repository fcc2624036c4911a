"""The job folder: paths and atomic reads and writes. The docstring of the package describes the files."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from weatherglass.files import write_atomically
from weatherglass.records import iso

HOST_LOCK = "host.lock"
"""File in the folder of all jobs that the job host keeps locked while it runs."""

NO_EXIT_FILE = "Exited without writing exit.json (killed or out of memory?)"
DAMAGED_EXIT_FILE = "Ended, but exit.json is damaged (full disk or power failure?)"


@dataclass(frozen=True)
class StartRequest:
    """A command to start, and variables to add to the host's own environment."""

    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `ok` is True only if the end was requested."""

    ok: bool
    reason: str


def is_locked(lock: Path) -> bool:
    """Whether a running process holds the lock on this file."""
    if not lock.exists():
        return False
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class JobFolder:
    """Paths and atomic reads and writes of a job's folder. Stateless.

    A damaged file counts as missing: the lock says whether the job is alive, and the next start writes all files again.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lock = path / "lock"
        self.start = path / "start.json"
        self.restart = path / "restart"
        self.process = path / "process.json"
        self.heartbeat = path / "heartbeat"
        self.progress = path / "progress.jsonl"
        self.stop = path / "stop"
        self.kill = path / "kill"
        self.exit = path / "exit.json"
        self.log = path / "job.log"

    @property
    def name(self) -> str:
        return self.path.name

    def try_lock(self) -> int | None:
        """Acquire the job's lock without waiting: its file descriptor, or None if the job is alive."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def alive(self) -> bool:
        """Whether the job is alive. Tests the lock, so zombies and recycled process ids do not matter."""
        return is_locked(self.lock)

    def request_start(self, request: StartRequest) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(self.start, asdict(request))

    def request_restart(self) -> None:
        """Ask the host to start the last command again. It removes the file also if it does not know the command."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.restart.touch()

    def read_start(self) -> StartRequest | None:
        """The pending start request; None if there is none or it is invalid."""
        content = self._read(self.start)
        try:
            return StartRequest(**content) if content and content.get("argv") else None
        except TypeError:
            return None

    def request_stop(self, requested_by: str) -> None:
        """Ask the job to finish its batch and end. `requested_by` becomes part of the outcome."""
        self.write_json(self.stop, {"requested_by": requested_by, "at": iso(datetime.now(UTC))})

    def request_kill(self, requested_by: str) -> None:
        self.write_json(self.kill, {"requested_by": requested_by, "at": iso(datetime.now(UTC))})

    def stop_requested_by(self) -> str | None:
        return (self._read(self.stop) or {}).get("requested_by")

    def heartbeat_age(self, now: datetime) -> float | None:
        """Seconds since the last heartbeat; None before the first one."""
        try:
            return now.timestamp() - self.heartbeat.stat().st_mtime
        except FileNotFoundError:
            return None

    def started(self) -> dict[str, Any]:
        """The last start: `start_id`, `at`, `argv`, `pid`, `pgid`, `identity`; empty before the first one."""
        return self._read(self.process) or {}

    def seconds_worked(self) -> float:
        """Seconds from the last start to the last heartbeat; 0 if there was none."""
        try:
            return self.heartbeat.stat().st_mtime - datetime.fromisoformat(self.started()["at"]).timestamp()
        except (FileNotFoundError, KeyError, ValueError):
            return 0.0

    def last_progress(self) -> dict[str, Any] | None:
        """The newest complete line of progress. Skips lines truncated by a full disk or a power cut."""
        try:
            with self.progress.open("rb") as file:
                file.seek(max(0, self.progress.stat().st_size - 65536))
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        return next(filter(None, map(_parse_object, reversed(lines))), None)

    def outcome(self) -> Outcome:
        """How the job ended, as it reported itself, or that it ended without a report."""
        exit_ = self._read(self.exit)
        if exit_ is None:
            return Outcome(False, DAMAGED_EXIT_FILE if self.exit.exists() else NO_EXIT_FILE)
        return Outcome(bool(exit_.get("ok")), str(exit_.get("reason")))

    def write_json(self, file: Path, content: dict[str, Any]) -> None:
        """Replace a file of the folder atomically."""
        write_atomically(file, json.dumps(content))

    def _read(self, file: Path) -> dict[str, Any] | None:
        try:
            return _parse_object(file.read_bytes())
        except FileNotFoundError:
            return None


def _parse_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object in this text; None if it is something else."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
