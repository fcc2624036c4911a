"""The watched folder of files of own stations: which files are complete, and where processed ones go.

Airflow's triggerer imports this module, so it must not import pandas or a client.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

DONE, FAILED = "done", "failed"
"""Subfolders of processed files; the others have the name of a mapping."""
REPORT_SUFFIX = ".report.json"
SETTLE_SECONDS = 10.0
"""A file is complete when its size and its time of modification have not changed for so long."""
PARTIAL = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".swp", "~")
"""Ends of the names that programs give to incomplete files. Hidden files are incomplete too, for example rsync's."""
MAX_NAME_BYTES = 180
"""File systems allow 255; the report has a longer name, and a temporary one while it is written."""


@dataclass(frozen=True)
class FileState:
    """A file and what changes when it is written."""

    path: Path
    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileState | None:
        """The present state; None if there is no such file, or if its folder cannot be searched."""
        try:
            stat = path.stat(follow_symlinks=False)
        except (FileNotFoundError, PermissionError):
            return None
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def waiting_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The files to be processed, in the order of their names, those of subfolders after the others; and the problems of
    folders that cannot be used, and of files whose names are not UTF-8 or too long for that of the report.
    """
    files, problems = [], []
    places = [folder]
    for place in places:
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"{place} cannot be read: {error.strerror}")
            continue
        if not os.access(place, os.W_OK | os.X_OK):
            problems.append(f"{place} is not writable or not searchable, so files cannot be moved to {DONE}")
            continue
        for entry in entries:
            if problem := _name_problem(entry.name):
                problems.append(f"{place}: {problem}")
                continue
            partial = entry.name.startswith(".") or entry.name.lower().endswith(PARTIAL)
            if entry.is_file(follow_symlinks=False) and not partial:
                files.append(Path(entry.path))
            elif entry.is_dir(follow_symlinks=False) and place == folder and not _is_reserved(entry.name):
                places.append(Path(entry.path))
    return files, problems


def _name_problem(name: str) -> str | None:
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return f"{name!a} is not UTF-8; rename the file"
    if length > MAX_NAME_BYTES:
        return f"{name[:40]}... has {length} bytes; rename the file to at most {MAX_NAME_BYTES}"
    return None


def _is_reserved(name: str) -> bool:
    return name in (DONE, FAILED) or name.startswith(".")


@dataclass
class SettledFiles:
    """Finds the files that have not changed for some time.

    A file's own times are not compared with the clock: a copy may keep the times of its original.

    Attributes:
        problems: of the last poll.
    """

    folder: Path
    seconds: float = SETTLE_SECONDS
    problems: list[str] = field(default_factory=list)
    _seen: dict[FileState, float] = field(default_factory=dict)

    def poll(self, now: float) -> list[Path]:
        """The complete files.

        Args:
            now: of a monotonic clock, seconds.
        """
        files, self.problems = waiting_files(self.folder)
        states = [state for path in files if (state := FileState.of(path))]
        self._seen = {state: self._seen.get(state, now) for state in states}
        return [state.path for state, since in self._seen.items() if now - since >= self.seconds]
