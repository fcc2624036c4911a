"""Which processes belong to a job. Process ids are recycled, so nothing is signalled because of its number alone.

The host gives each start an id in the process's environment, which every descendant inherits, whatever session or
group it moves to. A process belongs to the job if it carries that id, or if it is in the process group of a leader
whose creation time is the one noted at the start.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from typing import Any

import psutil

START_ID = "JOB_START_ID"
"""Environment variable that marks the processes of one start of a job."""

SAME_INSTANT = 0.05
"""Seconds within which two creation times are one: the kernel counts them in hundredths."""


def created(pid: int) -> float | None:
    """When a process was created, seconds since the epoch; None if there is no such process."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def members(started: dict[str, Any]) -> list[psutil.Process]:
    """The living processes of the start that `process.json` describes, newest first, never this one."""
    start_id, pgid = started.get("start_id"), started.get("pgid")
    leader = created(pgid) if pgid else None
    is_leader = leader is not None and abs(leader - started.get("created", 0.0)) < SAME_INSTANT
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            marked = start_id is not None and process.environ().get(START_ID) == start_id
            if (marked or (is_leader and os.getpgid(process.pid) == pgid)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
    return sorted(found, key=lambda process: process.pid, reverse=True)


def send(number: signal.Signals, processes: Iterable[psutil.Process]) -> list[int]:
    """Signal processes; the ids of those that were still there. psutil checks that each id is still the same one."""
    reached = []
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue
        reached.append(process.pid)
    return reached
