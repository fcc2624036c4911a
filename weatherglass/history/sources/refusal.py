"""Why a file, a column or a line of readings is not used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from weatherglass.history.sources import SourceError

MAX_UNREADABLE = 0.1
"""Share of unreadable lines, or of unreadable values of a column, above which the file or the column is refused."""
LINES_NAMED = 5
"""Line numbers in a message about the lines skipped for one reason."""


class RefusalCode(StrEnum):
    UNREADABLE = "unreadable"
    """Missing, not permitted, too large, or not a text or Parquet file."""
    NO_HEADER = "no_header"
    """No line names a time column and a variable."""
    DUPLICATE_COLUMN = "duplicate_column"
    """Several columns hold the same variable."""
    SEVERAL_STATIONS = "several_stations"
    FIELD_COUNT = "field_count"
    """Another number of fields than the header."""
    NO_STATION = "no_station"
    """No column of the station."""
    SEA_LEVEL = "sea_level"
    """Pressure at sea level, where that at the station is needed."""
    NO_READINGS = "no_readings"
    TIME_FORMAT = "time_format"
    TIME_FORMAT_AMBIGUOUS = "time_format_ambiguous"
    """Several formats fit, with different times."""
    TIME_OF_DAY = "time_of_day"
    """A date without a time of day, repeated or among others that have one."""
    TIME_ZONE = "time_zone"
    """No time zone, or an abbreviation that several zones use."""
    LOCAL_TIME = "local_time"
    """A local time that occurs twice or never, when the clocks change."""
    UNIT_MISSING = "unit_missing"
    UNIT_UNKNOWN = "unit_unknown"
    UNIT_CONFLICT = "unit_conflict"
    """The header, the unit row and the user state different units."""
    NUMBER = "number"
    """Not a number and not a mark for a missing value."""
    DECIMAL_MARK = "decimal_mark"
    """A comma that may be a decimal mark or a thousands separator."""


_SKIPPED = {
    RefusalCode.FIELD_COUNT: "another number of fields than the header",
    RefusalCode.TIME_FORMAT: "the time cannot be read",
    RefusalCode.TIME_OF_DAY: "a date without a time of day",
    RefusalCode.TIME_ZONE: "the time zone is not certain",
    RefusalCode.LOCAL_TIME: "a local time that occurs twice or never when the clocks change",
    RefusalCode.NUMBER: "not a number",
}


@dataclass(frozen=True)
class Refusal:
    """A file or a column that is not used.

    Attributes:
        line: of the file, the first is 1; None if it is not about a line.
        column: name in the header; None if it is not about a column.
    """

    code: RefusalCode
    message: str
    line: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        column = f"column {self.column!r}" if self.column else ""
        where = ", ".join(filter(None, (line, column)))
        return f"{where}: {self.message}" if where else self.message


class RefusedError(SourceError):
    """A file is refused, for the reason in `refusal`; the message names the file and the way out."""

    def __init__(self, path: Path, refusal: Refusal):
        super().__init__(f"{path}: {refusal}")
        self.refusal = refusal


@dataclass(frozen=True)
class Skipped:
    """Lines, or values of a column, that are not used, while the others are.

    Attributes:
        column: name in the header; None if whole lines are skipped.
        lines: their numbers.
    """

    code: RefusalCode
    count: int
    lines: tuple[int, ...]
    column: str | None = None

    @property
    def reason(self) -> str:
        """Why they are not used, for a message."""
        return _SKIPPED[self.code]

    @property
    def first_lines(self) -> str:
        """The first line numbers, for a message."""
        return ", ".join(map(str, self.lines[:LINES_NAMED])) + ", …" * (self.count > LINES_NAMED)


def skipped(code: RefusalCode, lines: Iterable[int], column: str | None = None) -> tuple[Skipped, ...]:
    """Return the entry for skipped lines; none if there are none."""
    numbers = [int(line) for line in lines]
    return (Skipped(code, len(numbers), tuple(numbers), column),) if numbers else ()
