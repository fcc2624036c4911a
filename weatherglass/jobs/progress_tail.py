"""Reads new lines of a job's progress, each once, across rotations of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MAX_READ_BYTES = 1_000_000
"""Upper limit of one read."""


class ProgressTail:
    """Reads the reports that are appended to `progress.jsonl` after the construction."""

    def __init__(self, file: Path):
        self.file = file
        self._inode, self._offset = self._end()

    def read(self) -> list[dict[str, Any]]:
        """The reports since the last call."""
        inode, size = self._end()
        if inode != self._inode or size < self._offset:
            self._inode, self._offset = inode, 0
        if size == self._offset:
            return []
        with self.file.open("rb") as file:
            file.seek(self._offset)
            data = file.read(MAX_READ_BYTES)
        data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        reports = []
        for line in data.splitlines():
            try:
                report = json.loads(line)
            except ValueError:
                continue  # remainder of a line truncated by a crash
            if isinstance(report, dict):
                reports.append(report)
        return reports

    def _end(self) -> tuple[int, int]:
        try:
            status = self.file.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_ino, status.st_size
