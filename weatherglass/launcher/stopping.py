"""Stops everything in order, within 45 seconds, even after the launcher was killed.

Jobs first, so that they finish their batches and commit offsets while Kafka and Ray are running. Airflow at the same
time, so that it does not restart them. Then Ray, the replay and the job host. Kafka last.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from weatherglass.jobs.folder import JobFolder
from weatherglass.jobs.processes import signal_processes
from weatherglass.launcher import ray_head
from weatherglass.launcher.airflow import MIGRATION
from weatherglass.launcher.airflow import PROCESSES as AIRFLOW
from weatherglass.launcher.processes import (
    LAUNCHER,
    ProcessRecord,
    ProcessRecords,
    launched_processes,
    session_processes,
)
from weatherglass.settings import Settings
from weatherglass.waiting import wait_until

REQUESTED_BY = "make down"
"""Written to the stop request of a job. It is not an Airflow user, so the next start runs the jobs again."""

JOBS_SECONDS = 25.0
"""The job host sends SIGTERM after 20 s and SIGKILL 5 s later."""
SERVICES_SECONDS = 6.0
BROKER_SECONDS = 8.0
KILL_SECONDS = 5.0


@dataclass
class Groups:
    """The recorded processes, without the launcher, in the order in which they are stopped."""

    airflow: list[ProcessRecord] = field(default_factory=list)
    services: list[ProcessRecord] = field(default_factory=list)
    broker: list[ProcessRecord] = field(default_factory=list)


def stop_everything(settings: Settings, log: Callable[[str], None]) -> bool:
    """End all processes of the state folder except this one and its launcher; False if some could not be ended."""
    records = ProcessRecords(settings)
    groups = _groups(records.all())
    _stop_jobs_and_airflow(settings, groups.airflow, log)
    _stop_services(groups.services, log)
    _stop_broker(groups.broker, log)
    stopped = _kill_remaining(settings, records.read(LAUNCHER))
    for record in [*groups.airflow, *groups.services, *groups.broker]:
        records.remove(record.name)
    if not settings.ray_address:
        ray_head.clean(settings)
    return stopped


def job_folders(settings: Settings) -> list[JobFolder]:
    """The folders of all long-lived jobs that were ever started."""
    if not settings.jobs_dir.is_dir():
        return []
    return [JobFolder(path) for path in sorted(settings.jobs_dir.iterdir()) if (path / "process.json").exists()]


def _groups(records: list[ProcessRecord]) -> Groups:
    groups = Groups()
    for record in records:
        if record.name in AIRFLOW or record.name == MIGRATION:
            groups.airflow.append(record)
        elif record.name == "kafka":
            groups.broker.append(record)
        elif record.name != LAUNCHER:
            groups.services.append(record)
    return groups


def _stop_jobs_and_airflow(settings: Settings, airflow: list[ProcessRecord], log: Callable[[str], None]) -> None:
    jobs = [folder for folder in job_folders(settings) if folder.alive()]
    if names := [folder.name for folder in jobs] + ["Airflow"] * bool(session_processes(airflow)):
        log(f"stopping {', '.join(names)}; jobs finish their batches first")
    _signal_leaders(signal.SIGINT, airflow)
    for folder in jobs:
        folder.request_stop(REQUESTED_BY)
    wait_until(lambda: not any(folder.alive() for folder in jobs) and not session_processes(airflow), JOBS_SECONDS)
    signal_processes(signal.SIGKILL, session_processes(airflow))


def _stop_services(services: list[ProcessRecord], log: Callable[[str], None]) -> None:
    if names := [record.name for record in services if record.alive()]:
        log(f"stopping {', '.join(names)}")
    _signal_leaders(signal.SIGTERM, services)
    wait_until(lambda: not any(record.alive() for record in services), SERVICES_SECONDS)
    signal_processes(signal.SIGKILL, session_processes(services))


def _stop_broker(broker: list[ProcessRecord], log: Callable[[str], None]) -> None:
    if session_processes(broker):
        log("stopping Kafka")
    _signal_leaders(signal.SIGTERM, broker)
    wait_until(lambda: not session_processes(broker), BROKER_SECONDS)


def _kill_remaining(settings: Settings, launcher: ProcessRecord | None) -> bool:
    """Kill what is left, except the launcher; whether nothing is left."""

    def remaining() -> list[psutil.Process]:
        return [process for process in launched_processes(settings) if not launcher or process.pid != launcher.pid]

    signal_processes(signal.SIGKILL, remaining())
    return wait_until(lambda: not remaining(), KILL_SECONDS)


def _signal_leaders(number: signal.Signals, records: list[ProcessRecord]) -> None:
    """Signal the started processes; each of them ends its own children."""
    for record in records:
        if record.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, number)
