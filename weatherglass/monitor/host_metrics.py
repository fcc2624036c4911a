"""Metrics of the machine: disk, network, and resource usage of each component's processes."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable

PROCESS_SCAN_INTERVAL = timedelta(minutes=1)
"""A scan of all processes takes 0.1 s or more."""


@dataclass
class ProcessUsage:
    processes: int = 0
    memory: int = 0
    cpu: float = 0.0
    read: int = 0
    written: int = 0


class HostMetrics:
    def __init__(self, settings: Settings):
        self._settings = settings
        self._marker = f"{variable('state_dir')}={settings.state_dir}".encode()
        self._component_of: dict[tuple[int, float], str | None] = {}
        """Component of each known process, by process id and creation time; None if it is not part of the pipeline."""
        self._usage: dict[str, ProcessUsage] = {}
        self._scanned_at: datetime | None = None

    def collect(self, sample: MetricSample) -> None:
        with contextlib.suppress(OSError):
            disk = psutil.disk_usage(str(self._settings.state_dir))
            if disk.total:
                sample.put(m.DISK_FREE, disk.free / (disk.used + disk.free))  # as `df`: without root's reserve
        network = psutil.net_io_counters()
        if network:
            sample.put(m.NETWORK, network.bytes_recv, "received")
            sample.put(m.NETWORK, network.bytes_sent, "sent")
        if self._scanned_at is None or sample.at - self._scanned_at >= PROCESS_SCAN_INTERVAL:
            self._usage, self._scanned_at = self._scan(), sample.at
        for component, usage in self._usage.items():
            sample.put(m.PART_PROCESSES, usage.processes, component)
            sample.put(m.PART_MEMORY, usage.memory, component)
            sample.put(m.PART_CPU, usage.cpu, component)
            sample.put(m.PART_READ, usage.read, component)
            sample.put(m.PART_WRITTEN, usage.written, component)

    def _scan(self) -> dict[str, ProcessUsage]:
        sessions = self._sessions()
        known = self._component_of
        usage_by_component: defaultdict[str, ProcessUsage] = defaultdict(ProcessUsage)
        self._component_of = {}
        for process in psutil.process_iter():
            try:
                key = process.pid, process.create_time()
                component = known[key] if key in known else self._find_component(process.pid, sessions)
                self._component_of[key] = component
                if component is None:
                    continue
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_full_info()
                    usage = usage_by_component[component]
                    usage.processes += 1
                    usage.memory += getattr(memory, "pss", memory.rss)
                    usage.cpu += times.user + times.system
                    with contextlib.suppress(psutil.Error, AttributeError):
                        io = process.io_counters()
                        usage.read += io.read_chars
                        usage.written += io.write_chars
            except (psutil.Error, OSError):
                continue
        return dict(usage_by_component)

    def _find_component(self, pid: int, sessions: dict[int, str]) -> str | None:
        """By the process's session; in another session, by the state folder in its environment."""
        with contextlib.suppress(OSError):
            if component := sessions.get(os.getsid(pid)):
                return component
            if self._marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return "ray" if b"ray" in Path(f"/proc/{pid}/cmdline").read_bytes() else "other"
        return None

    def _sessions(self) -> dict[int, str]:
        """Components by process id of the session leader, from the files of the launcher and the job host."""
        sessions: dict[int, str] = {}
        records = [(file, file.stem) for file in (self._settings.state_dir / "run").glob("*.json")]
        records += [(file, file.parent.name) for file in self._settings.jobs_dir.glob("*/process.json")]
        for file, name in records:
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                pid = json.loads(file.read_text(encoding="utf-8")).get("pid")
                if isinstance(pid, int):
                    sessions[pid] = name
        return sessions
