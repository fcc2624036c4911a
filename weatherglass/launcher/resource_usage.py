"""What the stack costs: processes, memory and CPU of each program with all its children."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass

import psutil

from weatherglass.launcher.processes import ProcessRecords, members
from weatherglass.launcher.stopping import LAUNCHER, job_folders
from weatherglass.settings import Settings

MEASURED_SECONDS = 0.5


@dataclass(frozen=True)
class Usage:
    """One program. `memory` in bytes, resident, a page that n processes share counted 1/n in each, so that the sum is
    what the machine holds; `cpu` in cores; `since` in Unix time.
    """

    name: str
    processes: int
    since: float
    memory: int
    cpu: float


def usage(settings: Settings) -> list[Usage]:
    """Every program of the stack that has a living process, the CPU measured over half a second."""
    records = {record.pid: record.name for record in ProcessRecords(settings).all() if record.alive()}
    sessions = records | {
        folder.started()["pid"]: folder.name for folder in job_folders(settings) if folder.alive() and folder.started()
    }
    processes = members(settings)
    launcher = next((pid for pid, name in records.items() if name == LAUNCHER), None)
    if launcher and launcher not in {process.pid for process in processes}:
        with contextlib.suppress(psutil.Error):
            processes.append(psutil.Process(launcher))
    before = {process.pid: _cpu_seconds(process) for process in processes}
    started = time.monotonic()
    time.sleep(MEASURED_SECONDS)
    rows: dict[str, list[Usage]] = {}
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            name = sessions.get(process.pid) or sessions.get(os.getsid(process.pid), "other")
            cpu = (_cpu_seconds(process) - before[process.pid]) / (time.monotonic() - started)
            memory = _resident(process)
            rows.setdefault(name, []).append(Usage(name, 1, process.create_time(), memory, max(cpu, 0.0)))
    return [total(name, parts) for name, parts in sorted(rows.items())]


def total(name: str, parts: list[Usage]) -> Usage:
    """Several as one."""
    return Usage(
        name,
        sum(part.processes for part in parts),
        min((part.since for part in parts), default=time.time()),
        sum(part.memory for part in parts),
        sum(part.cpu for part in parts),
    )


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _resident(process: psutil.Process) -> int:
    """The process's proportional share of resident memory, bytes; Linux alone tells it, elsewhere all it touches."""
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))
