"""Stops a stack in good order, within 45 seconds, whoever started it and whatever became of the launcher.

Jobs first, so that batches finish and their offsets are committed while the broker and Ray still live; Airflow at the
same time (so that it does not start them again); then Ray, the replay and the job host; the broker last.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

import psutil

from weatherglass.jobs.folder import JobFolder
from weatherglass.launcher import ray_head
from weatherglass.launcher.airflow import MIGRATION
from weatherglass.launcher.airflow import PROCESSES as AIRFLOW
from weatherglass.launcher.processes import ProcessRecord, ProcessRecords, members, send
from weatherglass.settings import Settings
from weatherglass.waiting import wait_until

WHO = "make down"
"""Who asks the jobs to stop; no user of Airflow, so the next start takes them up again."""

JOBS_SECONDS = 25.0
"""The job host sends TERM after 20 s and KILL 5 s later."""
SERVICES_SECONDS = 6.0
BROKER_SECONDS = 8.0
LAUNCHER = "launcher"


def stop_everything(settings: Settings, say: Callable[[str], None]) -> bool:
    """End all processes of the stack but this one and its launcher; False if some could not be ended.

    `say` gets a sentence a step.
    """
    records = ProcessRecords(settings)
    found = {record.name: record for record in records.all() if record.name != LAUNCHER}
    airflow = [record for name, record in found.items() if name in AIRFLOW or name == MIGRATION]
    broker = [record for name, record in found.items() if name == "kafka"]
    services = [record for record in found.values() if record not in airflow and record not in broker]

    jobs = [folder for folder in job_folders(settings) if folder.alive()]
    if names := [folder.name for folder in jobs] + ["Airflow"] * bool(members(settings, airflow)):
        say(f"stopping {', '.join(names)}; batches are finished first")
    _signal(signal.SIGINT, airflow)
    for folder in jobs:
        folder.request_stop(WHO)
    wait_until(lambda: not any(folder.alive() for folder in jobs) and not members(settings, airflow), JOBS_SECONDS)
    send(signal.SIGKILL, members(settings, airflow))

    if names := [record.name for record in services if record.alive()]:
        say(f"stopping {', '.join(names)}")
    _signal(signal.SIGTERM, services)
    wait_until(lambda: not any(record.alive() for record in services), SERVICES_SECONDS)
    send(signal.SIGKILL, members(settings, services))

    if members(settings, broker):
        say("stopping the Kafka broker")
    _signal(signal.SIGTERM, broker)
    wait_until(lambda: not members(settings, broker), BROKER_SECONDS)

    def stragglers() -> list[psutil.Process]:
        launcher = records.read(LAUNCHER)
        return [process for process in members(settings) if launcher is None or process.pid != launcher.pid]

    send(signal.SIGKILL, stragglers())
    left = not wait_until(lambda: not stragglers(), 5.0)
    for name in found:
        records.forget(name)
    if not settings.ray_address:
        ray_head.clean(settings)
    return not left


def launcher_runs(settings: Settings) -> bool:
    """Whether a `make up` watches over this stack."""
    launcher = ProcessRecords(settings).read(LAUNCHER)
    return launcher is not None and launcher.alive()


def job_folders(settings: Settings) -> list[JobFolder]:
    """The folders of all long-lived jobs that ever ran here."""
    if not settings.jobs_dir.is_dir():
        return []
    return [JobFolder(path) for path in sorted(settings.jobs_dir.iterdir()) if (path / "process.json").exists()]


def _signal(number: signal.Signals, records: list[ProcessRecord]) -> None:
    """Signal the leaders; they end their own children in the order they know."""
    for record in records:
        if record.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, number)
