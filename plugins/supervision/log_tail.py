"""The end of a job's output, for error messages."""

from __future__ import annotations

from pathlib import Path

MAX_LINES = 25
MAX_BYTES = 40_000
START_PREFIX = "==== "
"""Prefix of the line that the job host writes before the output of each start."""


def log_tail(log: Path, max_lines: int = MAX_LINES) -> list[str]:
    """The last lines of the output since the last start, without frames of Java stack traces; empty without output."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - MAX_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(START_PREFIX):
            lines.clear()
        elif line.strip() and not _is_java_frame(line):
            lines.append(line.rstrip())
    return lines[-max_lines:]


def _is_java_frame(line: str) -> bool:
    """Whether the line is like `	at org.apache.spark.…` or `	... 12 more`. Python's frames start with `File`."""
    return line[0].isspace() and line.lstrip().startswith(("at ", "... "))
