"""The machine: disk, network, and what each part's processes use."""

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
from weatherglass.settings import Settings, variable

PROCESSES_EVERY = timedelta(minutes=1)
"""Looking at every process of a stack costs a tenth of a second or more."""


@dataclass
class ProcessUse:
    processes: int = 0
    memory: int = 0
    cpu: float = 0.0
    read: int = 0
    written: int = 0


class HostMetrics:
    def __init__(self, settings: Settings):
        self._settings = settings
        self._mark = f"{variable('state_dir')}={settings.state_dir}".encode()
        self._parts: dict[tuple[int, float], str | None] = {}
        """The part of each process seen, by its id and start; None: not one of ours."""
        self._seen: dict[str, ProcessUse] = {}
        self._looked: datetime | None = None

    def look(self, sample: MetricSample) -> None:
        with contextlib.suppress(OSError):
            disk = psutil.disk_usage(str(self._settings.state_dir))
            if disk.total:
                sample.put(m.DISK_FREE, disk.free / (disk.used + disk.free))  # as `df` has it: root's share left out
        network = psutil.net_io_counters()
        if network:
            sample.put(m.NETWORK, network.bytes_recv, "received")
            sample.put(m.NETWORK, network.bytes_sent, "sent")
        if self._looked is None or sample.at - self._looked >= PROCESSES_EVERY:
            self._seen, self._looked = self._measure(), sample.at
        for part, use in self._seen.items():
            sample.put(m.PART_PROCESSES, use.processes, part)
            sample.put(m.PART_MEMORY, use.memory, part)
            sample.put(m.PART_CPU, use.cpu, part)
            sample.put(m.PART_READ, use.read, part)
            sample.put(m.PART_WRITTEN, use.written, part)

    def _measure(self) -> dict[str, ProcessUse]:
        sessions = self._sessions()
        known = self._parts
        found: defaultdict[str, ProcessUse] = defaultdict(ProcessUse)
        self._parts = {}
        for process in psutil.process_iter():
            try:
                key = process.pid, process.create_time()
                part = known[key] if key in known else self._part(process.pid, sessions)
                self._parts[key] = part
                if part is None:
                    continue
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_full_info()
                    use = found[part]
                    use.processes += 1
                    use.memory += getattr(memory, "pss", memory.rss)
                    use.cpu += times.user + times.system
                    with contextlib.suppress(psutil.Error, AttributeError):
                        io = process.io_counters()
                        use.read += io.read_chars
                        use.written += io.write_chars
            except (psutil.Error, OSError):
                continue
        return dict(found)

    def _part(self, pid: int, sessions: dict[int, str]) -> str | None:
        """By the session it was started in; one that has left it still carries the stack's folder."""
        with contextlib.suppress(OSError):
            if part := sessions.get(os.getsid(pid)):
                return part
            if self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return "ray" if b"ray" in Path(f"/proc/{pid}/cmdline").read_bytes() else "other"
        return None

    def _sessions(self) -> dict[int, str]:
        """The leaders that the launcher and the job host have written down, by process id."""
        found: dict[int, str] = {}
        records = [(file, file.stem) for file in (self._settings.state_dir / "run").glob("*.json")]
        records += [(file, file.parent.name) for file in self._settings.jobs_dir.glob("*/process.json")]
        for file, name in records:
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                pid = json.loads(file.read_text(encoding="utf-8")).get("pid")
                if isinstance(pid, int):
                    found[pid] = name
        return found
