"""Metrics of the machine: disk, network, and resource usage of each component's processes."""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil

from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable

PROCESS_SCAN_INTERVAL = timedelta(minutes=1)
"""A scan of all processes takes 0.1 s or more."""


class ProcessCounters(NamedTuple):
    """CPU time in seconds, and bytes read and written by system calls, since the start of a process."""

    cpu: float = 0.0
    read: int = 0
    written: int = 0


@dataclass
class ComponentUsage:
    """Usage of the processes of a component: number and memory of those that run, the rest since the first scan.

    The rest never decreases, also when a process ends: what it used until the last scan before its end is kept.
    """

    processes: int = 0
    memory: int = 0
    cpu: float = 0.0
    read: int = 0
    written: int = 0

    def add(self, process: psutil.Process, counted: ProcessCounters) -> ProcessCounters:
        """Add a process, of which `counted` was added before; returns what is counted now.

        Raises:
            psutil.Error: the process has ended; nothing was added.
        """
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_full_info()
            now = ProcessCounters(times.user + times.system, counted.read, counted.written)
            with contextlib.suppress(psutil.Error, AttributeError):
                io = process.io_counters()
                now = ProcessCounters(now.cpu, io.read_chars, io.write_chars)
        self.processes += 1
        self.memory += getattr(memory, "pss", memory.rss)
        self.cpu += now.cpu - counted.cpu
        self.read += now.read - counted.read
        self.written += now.written - counted.written
        return now


class HostMetrics:
    def __init__(self, settings: Settings):
        self._settings = settings
        self._marker = f"{variable('state_dir')}={settings.state_dir}".encode()
        self._component_of: dict[tuple[int, float], str | None] = {}
        """Component of each known process, by process id and creation time; None if it is not part of the pipeline."""
        self._counters: dict[tuple[int, float], ProcessCounters] = {}
        """What is counted in `_usage` of each running process."""
        self._usage: defaultdict[str, ComponentUsage] = defaultdict(ComponentUsage)
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
            self._scan()
            self._scanned_at = sample.at
        for component, usage in self._usage.items():
            if not usage.processes:
                continue
            sample.put(m.PART_PROCESSES, usage.processes, component)
            sample.put(m.PART_MEMORY, usage.memory, component)
            sample.put(m.PART_CPU, usage.cpu, component)
            sample.put(m.PART_READ, usage.read, component)
            sample.put(m.PART_WRITTEN, usage.written, component)

    def _scan(self) -> None:
        sessions = self._sessions()
        known, counted = self._component_of, self._counters
        self._component_of, self._counters = {}, {}
        for usage in self._usage.values():
            usage.processes = usage.memory = 0
        for process in psutil.process_iter():
            try:
                key = process.pid, process.create_time()
                component = known[key] if key in known else self._find_component(process.pid, sessions)
                self._component_of[key] = component
                if component is not None:
                    self._counters[key] = self._usage[component].add(process, counted.get(key, ProcessCounters()))
            except (psutil.Error, OSError):
                continue

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
