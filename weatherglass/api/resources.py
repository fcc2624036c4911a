"""Memory and CPU usage of the pipeline's processes on this machine, by component."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict

import psutil
from pydantic import BaseModel, Field

from weatherglass.settings import Settings
from weatherglass.settings_errors import variable

CACHE_SECONDS = 2.0
"""How long a measurement is reused; reading all processes takes tens of milliseconds."""

COMPONENTS = {
    "org.apache.spark": "spark",
    "kafka.Kafka": "kafka",
    "ray::": "ray actors and tasks",
    "raylet": "ray",
    "gcs_server": "ray",
    "ray/dashboard": "ray",
    "ray/_private": "ray",
    "ray_jobs.": "ray jobs",
    "producer": "source",
    "-m weatherglass.jobs.host": "job host",
    "-m weatherglass.launcher": "launcher",
    "-m weatherglass.monitor": "monitor",
    "-m weatherglass.sink": "sink",
    "-m weatherglass.api.station_listener": "listener for consoles",
    "-m weatherglass.api": "api",
    "airflow": "airflow",
}
"""Component by a part of the command line; the first match applies."""


class ResourceUsageItem(BaseModel):
    """Resource usage of a component. CPU is the mean since the previous measurement, null for the first one."""

    part: str = Field(description="Component.", examples=["spark"])
    processes: int = Field(examples=[2])
    memory_mb: float = Field(
        description="Resident memory, MB. Pages shared by processes count in each of them.", examples=[812.4]
    )
    cpu_cores: float | None = Field(description="CPU usage in cores.", examples=[0.21])
    read_bytes: int = Field(
        description="Bytes read since the start of the processes, network included.", examples=[10_240]
    )
    written_bytes: int = Field(
        description="Bytes written since the start of the processes, network included.", examples=[10_240]
    )


_lock = threading.Lock()
_cache: dict[str, tuple[float, dict[int, float], list[ResourceUsageItem]]] = {}
"""Time of the last measurement, CPU seconds by process id, and the result, by state folder."""


def resource_usage(settings: Settings) -> list[ResourceUsageItem]:
    """Usage of each component with a process of this state folder; empty if no such process is visible."""
    key = str(settings.state_dir)
    with _lock:
        measured_at, cpu_seconds, items = _cache.get(key, (0.0, {}, []))
        if time.monotonic() - measured_at >= CACHE_SECONDS:
            items, cpu_seconds = _measure(key, cpu_seconds, time.monotonic() - measured_at if measured_at else 0.0)
            _cache[key] = (time.monotonic(), cpu_seconds, items)
        return items


def _measure(
    state_dir: str, previous_cpu: dict[int, float], elapsed: float
) -> tuple[list[ResourceUsageItem], dict[int, float]]:
    cpu_seconds: dict[int, float] = {}
    rows: defaultdict[str, list[tuple[int, float | None, int, int]]] = defaultdict(list)
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable("state_dir")) != state_dir or process.pid == os.getppid() == 0:
                continue
            with process.oneshot():
                times, command_line = process.cpu_times(), " ".join(process.cmdline())
                used = times.user + times.system
                io = process.io_counters()
                read, written = getattr(io, "read_chars", 0), getattr(io, "write_chars", 0)
                rss = process.memory_info().rss
        except (psutil.Error, OSError):
            continue
        cpu_seconds[process.pid] = used
        known = process.pid in previous_cpu and elapsed
        cores = max(used - previous_cpu[process.pid], 0.0) / elapsed if known else None
        rows[component_of(command_line)].append((rss, cores, read, written))
    return [
        ResourceUsageItem(
            part=component,
            processes=len(processes),
            memory_mb=round(sum(row[0] for row in processes) / 1e6, 1),
            cpu_cores=_sum_known([row[1] for row in processes]),
            read_bytes=sum(row[2] for row in processes),
            written_bytes=sum(row[3] for row in processes),
        )
        for component, processes in sorted(rows.items())
    ], cpu_seconds


def _sum_known(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if known else None


def component_of(command_line: str) -> str:
    """The component that a process belongs to, `other` if unknown."""
    return next((component for marker, component in COMPONENTS.items() if marker in command_line), "other")
