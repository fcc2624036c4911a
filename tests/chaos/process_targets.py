"""The processes of a running stack, by name, found through its state folder and by their parents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from weatherglass.jobs.processes import identity

UNSTABLE = re.compile(r"[0-9a-f]{8,}|\d+")
"""Parts of command lines that differ from start to start."""
LAUNCHER = "launcher"
WORKING = ("raylet", "gcs_server", "ray::InferenceActor")
"""Descendants that do work of their own: Ray's servers and an actor. Spark's driver is the process of its job."""


def processes(state: Path) -> dict[str, psutil.Process]:
    """Running processes by name: those recorded in `run/*.json` and `jobs/*/process.json`, and their descendants.

    The name of a descendant is that of its nearest recorded ancestor, a slash, and its program, with a number if there
    are several. Names are the same after a restart; process ids are not.
    """
    found: dict[str, psutil.Process] = {}
    for name, pid, recorded in _recorded(state):
        if identity(pid) == recorded:
            with suppress(psutil.NoSuchProcess):
                found[name] = psutil.Process(pid)
    known = {process.pid for process in found.values()}
    for name, process in sorted(found.items(), key=lambda item: _depth(item[1]), reverse=True):
        with suppress(psutil.NoSuchProcess):
            for child in sorted(process.children(recursive=True), key=lambda one: one.pid):
                if child.pid not in known:
                    known.add(child.pid)
                    _add(found, f"{name}/{_program(child)}", child)
    return {name: process for name, process in found.items() if _runs(process)}


def is_measured(name: str) -> bool:
    """Whether the recovery from the end of this process is measured: of all that are started by the launcher and the
    job host, except for the launcher itself, whose start replaces everything, and of those that do their work.
    """
    program = name.rpartition("/")[2]
    return name != LAUNCHER and ("/" not in name.removeprefix("job/") or program in WORKING)


def _recorded(state: Path) -> Iterator[tuple[str, int, str]]:
    """Name, id and identity of each recorded process; the id of an ended one may belong to another process now."""
    files = [(file.stem, file) for file in sorted((state / "run").glob("*.json"))]
    files += [(f"job/{file.parent.name}", file) for file in sorted((state / "jobs").glob("*/process.json"))]
    for name, file in files:
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(file.read_text(encoding="utf-8"))
            yield name, int(content["pid"]), str(content["identity"])


def _depth(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return len(process.parents())
    return 0


def _add(found: dict[str, psutil.Process], name: str, process: psutil.Process) -> None:
    number = 1
    unique = name
    while unique in found:
        number += 1
        unique = f"{name}-{number}"
    found[unique] = process


def _program(process: psutil.Process) -> str:
    """The title of a process that has set one (Ray's workers, Airflow), else its program."""
    with suppress(psutil.Error):
        command = process.cmdline()
        words = command[0].split() if command else []
        if words and words[0] != process.exe():
            title = words[0].rpartition("/")[2].partition(".")[0]  # Ray adds the method that an actor executes
            return UNSTABLE.sub("", title).strip("-_:") or process.name()
    with suppress(psutil.Error):
        return process.name()
    return "ended"


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
