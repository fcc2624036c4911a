"""The end of a job's output, for whoever must find out why it died."""

from __future__ import annotations

from pathlib import Path

LINES = 25
BYTES = 40_000
START_LINE = "==== "
"""How the job host heads the output of each start."""


def log_tail(log: Path, lines: int = LINES) -> list[str]:
    """The last lines of this start's output, without the frames of Java's stack traces; empty if it said nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    words: list[str] = []
    for line in text.splitlines():
        if line.startswith(START_LINE):
            words.clear()
        elif line.strip() and not _is_java_frame(line):
            words.append(line.rstrip())
    return words[-lines:]


def _is_java_frame(line: str) -> bool:
    """`	at org.apache.spark.…` and `	... 12 more`; Python's frames begin with `File`."""
    return line[0].isspace() and line.lstrip().startswith(("at ", "... "))
