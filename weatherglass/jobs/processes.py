"""Identifies, finds and signals processes: those of a job, and those that the launcher started.

Process ids are recycled, so an id alone never identifies a process: `identity` does. A process belongs to a set of
processes if its environment contains the marker of the set, which every descendant inherits, or if it is in the session
of a leader, which every descendant shares unless it starts its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

START_ID_VARIABLE = "JOB_START_ID"
"""Environment variable that marks the processes of one start of a job."""


def boot_id() -> str:
    """The id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identity(pid: int) -> str | None:
    """Distinguishes a process from every other process with the same id; None if it has ended or is a zombie.

    The id of the boot and the start time in clock ticks since the boot (proc(5), field 22 of stat), which clock changes
    do not affect.
    """
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else f"{boot_id()}:{fields[19]}"


def suspended_processes() -> list[psutil.Process]:
    """The processes of this machine that a signal such as SIGSTOP has suspended; a debugger's are not among them."""
    found = []
    for pid in psutil.pids():
        fields = _stat(pid)
        if fields and fields[0] == "T":
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
    return found


def find_processes(marker: tuple[str, str] | None, leaders: Iterable[tuple[int, str]]) -> list[psutil.Process]:
    """Running processes with the marker or in the session of one of the leaders, newest first, without this process.

    Args:
        marker: name and value of an environment variable; None to search by session only.
        leaders: process id and identity of the session leaders. The session of an ended leader keeps its id as long as
            it has members, so it still counts; it no longer counts once another process has the leader's id.
    """
    boot = boot_id()
    sessions = {pid for pid, leader in leaders if leader.startswith(f"{boot}:") and identity(pid) in (leader, None)}
    entry = "=".join(marker).encode() if marker else None
    found = []
    for pid in sorted(psutil.pids(), reverse=True):
        if pid == os.getpid() or identity(pid) is None:
            continue
        try:
            if os.getsid(pid) in sessions or (entry and entry in _environment(pid)):
                found.append(psutil.Process(pid))
        except (OSError, psutil.Error):
            continue  # it has ended, or belongs to another user
    return found


def job_processes(started: dict[str, Any]) -> list[psutil.Process]:
    """Running processes of the start that `process.json` describes, newest first, without this process."""
    start_id, pid = started.get("start_id"), started.get("pid")
    leaders = [(pid, str(started.get("identity")))] if pid else []
    return find_processes((START_ID_VARIABLE, start_id) if start_id else None, leaders)


def signal_processes(number: signal.Signals, processes: Iterable[psutil.Process]) -> list[int]:
    """Send a signal and return the ids of the processes that received it. psutil checks that each id is not reused."""
    signaled = []
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue
        signaled.append(process.pid)
    return signaled


def _stat(pid: int) -> list[str] | None:
    """The fields of proc(5), stat, from the third one (state) on; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
