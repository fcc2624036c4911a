"""Numbers, durations and errors in log lines and messages."""

from __future__ import annotations

from datetime import timedelta


def count_noun(number: int, noun: str) -> str:
    """A number with its noun: `1 observation`, `20 observations`. For nouns with the plural `s`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_duration(duration: timedelta) -> str:
    """A duration in one unit: `42 s`, `7 min`, `3.5 h`, `30 d`."""
    seconds = duration.total_seconds()
    if abs(seconds) < 120:
        return f"{seconds:.0f} s"
    if abs(seconds) < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if abs(seconds) < 48 * 3600:
        return f"{_short(seconds / 3600)} h"
    return f"{_short(seconds / 86400)} d"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without SQL statement and parameters; its repr where it has no message."""
    message = str(getattr(error, "orig", None) or error)
    return message.splitlines()[0] if message else repr(error)


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
