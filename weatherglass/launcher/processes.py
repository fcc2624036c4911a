"""The processes of one stack: started each in a session of its own, written down, found again, ended.

Three things together find every process of a stack, even after its launcher was killed:
- a record a process in `<state>/run/`, with the time of its start, since process ids are recycled;
- its session, which its children share unless they leave it;
- an environment variable with the stack's folder, which children inherit even when they leave the session.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from weatherglass.files import write_atomically
from weatherglass.settings import Settings

MARK = "STACK_OF_STATE_DIR"
"""Environment variable that every process of a stack carries; its value is the stack's state folder."""

LOG_BYTES = 10_000_000
"""A log larger than this is put aside when its process starts."""


@dataclass(frozen=True)
class ProcessRecord:
    """A process that was started: enough to know it again, or to know that its id is another's now.

    `identity` is the boot of the machine and the process's start in it, see `identity`.
    """

    name: str
    pid: int
    identity: str
    since: float

    def alive(self) -> bool:
        return identity(self.pid) == self.identity


def identity(pid: int) -> str | None:
    """What tells this process from any other with the same id, ever; None if it is gone, or a zombie.

    The boot's id, and the start in clock ticks since boot (proc(5), field 22 of stat), which no clock change moves.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{_boot()}:{fields[19]}"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class ProcessRecords:
    """The records in `<state>/run/`."""

    def __init__(self, settings: Settings):
        self.folder = settings.state_dir / "run"

    def write(self, name: str, pid: int) -> ProcessRecord:
        """Record a process that has just been started and is still a child of ours, so that its id is its own."""
        record = ProcessRecord(name, pid, identity(pid) or "gone", time.time())
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{name}.json", json.dumps(asdict(record)))
        return record

    def read(self, name: str) -> ProcessRecord | None:
        try:
            return ProcessRecord(**json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def all(self) -> list[ProcessRecord]:
        names = sorted(file.stem for file in self.folder.glob("*.json"))
        return [record for name in names if (record := self.read(name))]

    def forget(self, name: str) -> None:
        (self.folder / f"{name}.json").unlink(missing_ok=True)


def members(settings: Settings, records: Iterable[ProcessRecord] | None = None) -> list[psutil.Process]:
    """The living processes of the stack; with `records`, only those of their sessions. Never this process."""
    sessions = {
        record.pid
        for record in (ProcessRecords(settings).all() if records is None else records)
        # A session outlives its leader, and while it lives nobody gets its number; a stranger with it ends the claim.
        if record.identity.startswith(_boot()) and identity(record.pid) in (record.identity, None)
    }
    mark = f"{MARK}={_mark(settings)}".encode() if records is None else None
    found = []
    for pid in psutil.pids():
        if pid == os.getpid() or identity(pid) is None:
            continue
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(pid) in sessions or (mark and mark in _environment(pid)):
                found.append(psutil.Process(pid))
    return found


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def _mark(settings: Settings) -> str:
    return str(settings.state_dir.resolve())


def send(number: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    """Signal processes; psutil checks that each id is still the same process."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


@dataclass(frozen=True)
class Program:
    """Something the stack runs: a name for people, the command, and its whole environment."""

    name: str
    argv: list[str]
    environment: dict[str, str]


class Children:
    """The processes this launcher started. Each writes to `<state>/logs/<name>.log` and leads a session."""

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
                env={**program.environment, MARK: _mark(self.settings)},
                cwd=self.settings.state_dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.records.write(program.name, process.pid)
        self._processes[program.name] = process

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def alive(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def ended(self, name: str) -> str:
        """How a child ended, in words."""
        status = self._processes[name].poll()
        if status is None:
            return "still runs"
        return f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"

    def succeeded(self, name: str) -> bool:
        return self._processes[name].poll() == 0

    def end_session(self, name: str) -> None:
        """Kill what an ended child left behind, before it is started again."""
        record = self.records.read(name)
        if record:
            left = members(self.settings, [record])
            send(signal.SIGKILL, left)
            psutil.wait_procs(left, timeout=5)
