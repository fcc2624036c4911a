"""Memory and CPU of the parts of the pipeline that run on this machine."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict

import psutil
from pydantic import BaseModel, Field

from weatherglass.settings import Settings, variable

LIFETIME = 2.0
"""Seconds for which a measurement is good: looking at every process costs some tens of milliseconds."""

PARTS = {
    "org.apache.spark": "spark",
    "kafka.Kafka": "kafka",
    "ray::": "ray actors and tasks",
    "raylet": "ray",
    "gcs_server": "ray",
    "ray/dashboard": "ray",
    "ray/_private": "ray",
    "ray_jobs.": "ray jobs",
    "producer": "source",
    "airflow": "airflow",
    "stack": "launcher",
    "weatherglass": "job host",
}
"""What a command line holds, and what part it then belongs to; the first that fits counts."""


class PartUsage(BaseModel):
    """One part. The CPU is the mean since the last look, null at the first."""

    part: str = Field(examples=["spark"])
    processes: int = Field(examples=[2])
    memory_mb: float = Field(description="Resident; pages that processes share count in each.", examples=[812.4])
    cpu_cores: float | None = Field(examples=[0.21])
    read_bytes: int = Field(description="By all system calls, network included, since their start.", examples=[10_240])
    written_bytes: int = Field(examples=[10_240])


_lock = threading.Lock()
_seen: dict[str, tuple[float, dict[int, float], list[PartUsage]]] = {}


def usage(settings: Settings) -> list[PartUsage]:
    """Every part with a living process that was started for this state folder; empty where none may be seen."""
    key = str(settings.state_dir)
    with _lock:
        at, before, found = _seen.get(key, (0.0, {}, []))
        if time.monotonic() - at >= LIFETIME:
            found, after = _measure(key, before, time.monotonic() - at if at else 0.0)
            _seen[key] = (time.monotonic(), after, found)
        return found


def _measure(state_dir: str, before: dict[int, float], elapsed: float) -> tuple[list[PartUsage], dict[int, float]]:
    after: dict[int, float] = {}
    rows: defaultdict[str, list[tuple[int, float | None, int, int]]] = defaultdict(list)
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable("state_dir")) != state_dir or process.pid == os.getppid() == 0:
                continue
            with process.oneshot():
                times, command = process.cpu_times(), " ".join(process.cmdline())
                busy = times.user + times.system
                io = process.io_counters()
                read, written = getattr(io, "read_chars", 0), getattr(io, "write_chars", 0)
                rss = process.memory_info().rss
        except (psutil.Error, OSError):
            continue
        after[process.pid] = busy
        cpu = max(busy - before[process.pid], 0.0) / elapsed if process.pid in before and elapsed else None
        rows[_part(command)].append((rss, cpu, read, written))
    return [
        PartUsage(
            part=part,
            processes=len(found),
            memory_mb=round(sum(row[0] for row in found) / 1e6, 1),
            cpu_cores=_total([row[1] for row in found]),
            read_bytes=sum(row[2] for row in found),
            written_bytes=sum(row[3] for row in found),
        )
        for part, found in sorted(rows.items())
    ], after


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if known else None


def _part(command: str) -> str:
    return next((part for mark, part in PARTS.items() if mark in command), "other")
