"""Processes, memory and CPU of each started program with its children."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass

import psutil

from weatherglass.launcher.processes import LAUNCHER, ProcessRecords, launched_processes
from weatherglass.launcher.stopping import job_folders
from weatherglass.settings import Settings

SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Usage:
    """Usage of one program.

    `memory` is resident memory in bytes; a page that n processes share counts 1/n in each, so that the sum is the
    memory that is used on the machine. `cpu` is in cores, `since` in Unix time.
    """

    name: str
    processes: int
    since: float
    memory: int
    cpu: float


def measure_usage(settings: Settings) -> list[Usage]:
    """Usage of every program with a running process; CPU is measured over half a second."""
    records = {record.pid: record.name for record in ProcessRecords(settings).all() if record.alive()}
    sessions = records | {
        folder.started()["pid"]: folder.name for folder in job_folders(settings) if folder.alive() and folder.started()
    }
    processes = launched_processes(settings)
    launcher = next((pid for pid, name in records.items() if name == LAUNCHER), None)
    if launcher and launcher not in {process.pid for process in processes}:
        with contextlib.suppress(psutil.Error):
            processes.append(psutil.Process(launcher))
    before: dict[psutil.Process, float] = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            before[process] = cpu_seconds(process)
    started = time.monotonic()
    time.sleep(SAMPLE_SECONDS)
    rows: dict[str, list[Usage]] = {}
    for process, cpu_before in before.items():
        with contextlib.suppress(psutil.Error, OSError):
            name = sessions.get(process.pid) or sessions.get(os.getsid(process.pid), "other")
            cpu = (cpu_seconds(process) - cpu_before) / (time.monotonic() - started)
            memory = resident(process)
            rows.setdefault(name, []).append(Usage(name, 1, process.create_time(), memory, max(cpu, 0.0)))
    return [total(name, usages) for name, usages in sorted(rows.items())]


def total(name: str, usages: list[Usage]) -> Usage:
    """The sum of several usages."""
    return Usage(
        name,
        sum(usage.processes for usage in usages),
        min((usage.since for usage in usages), default=time.time()),
        sum(usage.memory for usage in usages),
        sum(usage.cpu for usage in usages),
    )


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time since the start of a process, seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def resident(process: psutil.Process) -> int:
    """The proportional set size in bytes; the resident set size where the system does not report it."""
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))
