"""The processes that the launcher starts: recorded in the state folder, found again, and ended.

Three things together find every process, even after the launcher was killed:
- a record of each started process in `<state>/run/`, with its identity;
- its session, which its descendants share unless they start their own;
- an environment variable with the state folder, which descendants inherit even if they leave the session.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from weatherglass.files import DamagedFileError, read_json, write_atomically
from weatherglass.jobs.processes import find_processes, identity, signal_processes
from weatherglass.settings import Settings

STATE_DIR_VARIABLE = "LAUNCHER_STATE_DIR"
"""Environment variable of every started process; its value is the state folder."""

LAUNCHER = "launcher"
"""Name of the launcher's own record."""

LOG_BYTES = 10_000_000
"""A larger log is renamed to `.log.1` when its process starts."""


@dataclass(frozen=True)
class ProcessRecord:
    """A started process. `identity` is that of `jobs.processes.identity`, `since` is Unix time."""

    name: str
    pid: int
    identity: str
    since: float

    def alive(self) -> bool:
        return identity(self.pid) == self.identity


def _parse(content: Any) -> ProcessRecord:
    record = ProcessRecord(**content)
    return ProcessRecord(str(record.name), int(record.pid), str(record.identity), float(record.since))


class ProcessRecords:
    """The records in `<state>/run/`, one JSON file per process."""

    def __init__(self, settings: Settings):
        self.folder = settings.state_dir / "run"

    def write(self, name: str, pid: int) -> ProcessRecord:
        """Record a process. It must be a child that was not yet waited for, so that its id cannot be reused."""
        record = ProcessRecord(name, pid, identity(pid) or "gone", time.time())
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{name}.json", json.dumps(asdict(record)))
        return record

    def read(self, name: str) -> ProcessRecord | None:
        """The record of this name; None if there is none or it is damaged.

        A process whose record is damaged is still found by its environment, like one without a record.
        """
        try:
            return read_json(self.folder / f"{name}.json", _parse, "")
        except (FileNotFoundError, DamagedFileError):
            return None

    def all(self) -> list[ProcessRecord]:
        names = sorted(file.stem for file in self.folder.glob("*.json"))
        return [record for name in names if (record := self.read(name))]

    def remove(self, name: str) -> None:
        (self.folder / f"{name}.json").unlink(missing_ok=True)


def launched_processes(settings: Settings) -> list[psutil.Process]:
    """All running processes that were started with this state folder, without this process."""
    records = ProcessRecords(settings).all()
    return find_processes((STATE_DIR_VARIABLE, _state_dir(settings)), _leaders(records))


def session_processes(records: Iterable[ProcessRecord]) -> list[psutil.Process]:
    """The running processes in the sessions of these records, without this process."""
    return find_processes(None, _leaders(records))


def launcher_is_running(settings: Settings) -> bool:
    """Whether a `make up` supervises this state folder."""
    launcher = ProcessRecords(settings).read(LAUNCHER)
    return launcher is not None and launcher.alive()


def _leaders(records: Iterable[ProcessRecord]) -> list[tuple[int, str]]:
    return [(record.pid, record.identity) for record in records]


def _state_dir(settings: Settings) -> str:
    return str(settings.state_dir.resolve())


@dataclass(frozen=True)
class Program:
    """A program to start: its name, its command, and its whole environment."""

    name: str
    argv: list[str]
    environment: dict[str, str]


class Children:
    """The child processes of this launcher. Each leads a session and writes to `<state>/logs/<name>.log`."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.logs = settings.state_dir / "logs"
        self.records = ProcessRecords(settings)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, program: Program) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.log(program.name)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            process = subprocess.Popen(
                program.argv,
                env={**program.environment, STATE_DIR_VARIABLE: _state_dir(self.settings)},
                cwd=self.settings.state_dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.records.write(program.name, process.pid)
        except OSError:
            process.kill()  # without a record it would not be found at the end
            process.wait()
            raise
        self._processes[program.name] = process

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def alive(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def exit_status(self, name: str) -> int | None:
        """Exit status of a child, negative for a signal; None while it runs."""
        return self._processes[name].poll()

    def kill_session(self, name: str) -> None:
        """Kill the processes in the session of a child: those that it left if it has ended, otherwise also itself."""
        if record := self.records.read(name):
            left = session_processes([record])
            signal_processes(signal.SIGKILL, left)
            psutil.wait_procs(left, timeout=5)
