"""CPU time and memory of each component of an isolated pipeline, lag, and bytes on its topics."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from benchmarks.pipeline.isolated import SERVE, IsolatedPipeline
from weatherglass.jobs.processes import job_processes
from weatherglass.kafka_connection import client_options
from weatherglass.launcher.consumer_lag import lags
from weatherglass.launcher.resource_usage import cpu_seconds, resident

ACTORS, BROKER = "inference_actors", "kafka"
MB = 1e6


@dataclass
class Usage:
    """What was used while a load was measured.

    Attributes:
        cores: component -> mean CPU usage, cores. The broker also serves the other users of it.
        memory_mb: component -> highest resident memory of the samples, MB; shared pages count by their share.
        topic_bytes: topic without prefix -> bytes written per second, as stored by the broker.
        lag: consumer group without prefix -> highest lag of the samples, records.
        final_lag: that of the last sample at which the broker responded.
    """

    cores: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)
    topic_bytes: dict[str, float] = field(default_factory=dict)
    lag: dict[str, int] = field(default_factory=dict)
    final_lag: dict[str, int] = field(default_factory=dict)


class UsageMeter:
    """Measures from its construction to `finish`; `sample` is called in between.

    Args:
        broker: process id of the broker; None if it runs elsewhere.
    """

    def __init__(self, pipeline: IsolatedPipeline, broker: int | None):
        self._pipeline, self._broker, self._settings = pipeline, broker, pipeline.settings
        self._cpu: dict[psutil.Process, tuple[str, float, float]] = {}
        """Process -> component, CPU time at the first and at the last sample."""
        self._usage = Usage()
        self._bytes, self._bytes_read = self._topic_bytes(), time.monotonic()
        self._began = self._sampled = time.monotonic()
        self.sample()

    def sample(self) -> None:
        """Take a sample of memory and lag; CPU time is added up. Without a response of the broker, lag is left out."""
        self._sampled = time.monotonic()
        memory: dict[str, float] = {}
        for name, processes in self._processes().items():
            for process in processes:
                with suppress(psutil.Error, OSError):
                    now = cpu_seconds(process)
                    _, first, _ = self._cpu.get(process, (name, now, now))
                    self._cpu[process] = name, first, now
                    memory[name] = memory.get(name, 0.0) + resident(process) / MB
        for name, used in memory.items():
            self._usage.memory_mb[name] = max(self._usage.memory_mb.get(name, 0.0), round(used, 1))
        with suppress(KafkaError):
            self._usage.final_lag = self._lag()
        for group, lag in self._usage.final_lag.items():
            self._usage.lag[group] = max(self._usage.lag.get(group, 0), lag)

    def finish(self) -> Usage:
        self.sample()
        seconds = self._sampled - self._began
        cores: dict[str, float] = {}
        for name, first, last in self._cpu.values():
            cores[name] = cores.get(name, 0.0) + (last - first) / seconds
        self._usage.cores = {name: round(used, 3) for name, used in sorted(cores.items())}
        after = self._topic_bytes()
        seconds = time.monotonic() - self._bytes_read
        self._usage.topic_bytes = {
            topic: round((size - self._bytes.get(topic, 0)) / seconds, 1) for topic, size in sorted(after.items())
        }
        return self._usage

    def _processes(self) -> dict[str, list[psutil.Process]]:
        found = {name: job_processes(folder.started()) for name, folder in self._pipeline.folders.items()}
        report = self._pipeline.folders[SERVE].last_progress() or {}
        found[ACTORS] = _running(report.get("pids", ()))
        found[BROKER] = _running([self._broker] if self._broker else ())
        return found

    def _lag(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for (group, _), lag in lags(self._settings).items():
            role = self._settings.topics.role(group)
            found[role] = found.get(role, 0) + (lag or 0)
        return found

    def _topic_bytes(self) -> dict[str, int]:
        admin = KafkaAdminClient(**client_options(self._settings))
        names = {topic.name for topic in self._settings.topics.table}
        sizes: dict[str, int] = {}
        try:
            for broker in admin.describe_log_dirs(sorted(names)):
                for topic in (topic for folder in broker["log_dirs"] for topic in folder["topics"]):
                    role = self._settings.topics.role(topic["name"])
                    sizes[role] = sizes.get(role, 0) + sum(part["partition_size"] for part in topic["partitions"])
        finally:
            admin.close()
        return sizes


def _running(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes with these ids that have not ended."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found
