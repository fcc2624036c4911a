"""What can be wrong in the station table, and the error that has all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MAX_LISTED = 20
"""Problems in the message of an error; the error itself has all of them."""


class StationProblemCode(StrEnum):
    """What is wrong in the station table."""

    UNREADABLE = "unreadable"
    EMPTY = "empty"
    ENCODING = "encoding"
    SEPARATOR = "separator"
    HEADER = "header"
    MISSING_COLUMN = "missing_column"
    UNKNOWN_COLUMN = "unknown_column"
    REPEATED_COLUMN = "repeated_column"
    QUOTES = "quotes"
    FIELD_COUNT = "field_count"
    CHARACTER = "character"
    STATION_ID = "station_id"
    REPEATED_ID = "repeated_id"
    LENGTH = "length"
    NUMBER = "number"
    RANGE = "range"
    TIME_ZONE = "time_zone"
    NETWORK = "network"
    SOURCE = "source"
    METAR_ID = "metar_id"
    TIME = "time"


@dataclass(frozen=True)
class StationProblem:
    """A problem in the station table.

    Attributes:
        line: from 1; None if the whole file is concerned.
        column: name of the column; None if the whole line is concerned.
        value: what the file contains.
        allowed: what it may contain.
    """

    line: int | None
    column: str | None
    code: StationProblemCode
    value: str
    allowed: str

    def __str__(self) -> str:
        place = ", ".join(filter(None, [f"line {self.line}" if self.line else None, self.column]))
        value = self.value if len(self.value) <= 60 else f"{self.value[:60]}…"
        return f"{f'{place}: ' if place else ''}{value!r}; allowed: {self.allowed}"


class StationsError(Exception):
    """The station table cannot be used; `problems` has all its problems, in the order of the lines."""

    def __init__(self, file: Path, problems: Sequence[StationProblem]):
        self.file = file
        self.problems = tuple(problems)
        lines = [f"  {problem}" for problem in self.problems[:MAX_LISTED]]
        if len(self.problems) > MAX_LISTED:
            lines.append(f"  and {len(self.problems) - MAX_LISTED} more")
        super().__init__("\n".join([f"Invalid station table {file}:", *lines]))
