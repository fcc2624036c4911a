"""How log lines and messages put numbers into words."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 observation`, `20 observations`; for nouns whose plural is an `s`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
