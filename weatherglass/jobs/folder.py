"""The job folder, as all three sides see it. See the package's docstring for the files."""

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
"""What the job host holds while it lives, beside the folders of the jobs."""


@dataclass(frozen=True)
class StartRequest:
    """What the host is to start: the command, and what is added to the host's own environment."""

    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `ok` is False for any end that nobody asked for."""

    ok: bool
    why: str


def held(lock: Path) -> bool:
    """Whether a living process holds this lock file."""
    if not lock.exists():
        return False
    descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class JobFolder:
    """Paths and small atomic reads and writes; holds no state of its own."""

    def __init__(self, path: Path):
        self.path = path
        self.lock = path / "lock"
        self.start = path / "start.json"
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
        """Take the job's lock without waiting: its file descriptor, or None while the job lives."""
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def alive(self) -> bool:
        """Whether the job lives. A probe of the lock, so it is right for zombies and recycled process ids."""
        return held(self.lock)

    def request_start(self, request: StartRequest) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(self.start, asdict(request))

    def read_start(self) -> StartRequest | None:
        """What is asked to start; None if nothing is, or nothing that can be understood."""
        content = self._read(self.start)
        try:
            return StartRequest(**content) if content and content.get("argv") else None
        except TypeError:
            return None

    def request_stop(self, who: str) -> None:
        """Ask the job to finish its batch and end; `who` is kept as the reason."""
        self.write_json(self.stop, {"who": who, "at": iso(datetime.now(UTC))})

    def request_kill(self, who: str) -> None:
        self.write_json(self.kill, {"who": who, "at": iso(datetime.now(UTC))})

    def stop_requested_by(self) -> str | None:
        return (self._read(self.stop) or {}).get("who")

    def silence(self, now: datetime) -> float | None:
        """Seconds since the last heartbeat; None before the first."""
        try:
            return now.timestamp() - self.heartbeat.stat().st_mtime
        except FileNotFoundError:
            return None

    def started(self) -> dict[str, Any]:
        """The last start, by the host: `start_id`, `at`, `argv`, `pid`, `pgid`, `created`; empty before any."""
        return self._read(self.process) or {}

    def worked(self) -> float:
        """Seconds from the last start to the last heartbeat; 0 if there was none."""
        try:
            return self.heartbeat.stat().st_mtime - datetime.fromisoformat(self.started()["at"]).timestamp()
        except (FileNotFoundError, KeyError, ValueError):
            return 0.0

    def last_progress(self) -> dict[str, Any] | None:
        """The newest whole line of progress; one that was cut, by a full disk or a power cut, is passed over."""
        try:
            with self.progress.open("rb") as file:
                file.seek(max(0, self.progress.stat().st_size - 65536))
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        return next(filter(None, map(_object, reversed(lines))), None)

    def outcome(self) -> Outcome:
        """How the job ended, by its own words where it had any."""
        exit_ = self._read(self.exit)
        if exit_ is None:
            return Outcome(False, "died without a word (killed, or out of memory?)")
        return Outcome(bool(exit_.get("ok")), str(exit_.get("why")))

    def write_json(self, file: Path, content: dict[str, Any]) -> None:
        """Replace a file of the folder in one step, so that no reader sees half of it."""
        write_atomically(file, json.dumps(content))

    def _read(self, file: Path) -> dict[str, Any] | None:
        try:
            return _object(file.read_bytes())
        except FileNotFoundError:
            return None


def _object(text: bytes) -> dict[str, Any] | None:
    """The JSON object that this is, or None."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
