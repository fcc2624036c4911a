"""Text files with one reading per line and a header: encoding, delimiter, comments, header and unit row.

Nothing is inferred from the values. The header is the first line that `is_header` recognises with one of the
delimiters; what is above it is a preamble. Each line is parsed by itself, so that a stray quote damages one line only.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from weatherglass.history.sources.refusal import MAX_UNREADABLE, Refusal, RefusalCode, RefusedError

DELIMITERS = (",", ";", "\t", "|")
COMMENT = "#"
MAX_BYTES = 50_000_000
"""About two years of readings per minute, which take 2.5 GB of memory."""
MAX_PREAMBLE = 100
"""Lines in which the header is searched."""
_BINARY = ((b"PK\x03\x04", "a zip or Excel file"), (b"\x1f\x8b", "a gzip file"), (b"\xd0\xcf\x11\xe0", "an Excel file"))
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class TextTable:
    """The lines of a file.

    Attributes:
        header: names of the columns.
        units: cells of the unit row below the header; None if there is none.
        rows: (n, columns) cells without surrounding spaces; None for a line with another number of fields or a
            damaged quote.
        lines: (n,) line numbers; the first line of the file is 1.
    """

    header: tuple[str, ...]
    header_line: int
    units: tuple[str, ...] | None
    unit_line: int | None
    rows: list[list[str] | None]
    lines: list[int]


def read_table(
    path: Path,
    is_header: Callable[[Sequence[str]], bool],
    is_unit_row: Callable[[Sequence[str], Sequence[str]], bool],
    max_unreadable: float = MAX_UNREADABLE,
) -> TextTable:
    """Read a file.

    Args:
        is_header: whether the cells of a line are the header.
        is_unit_row: whether the cells of the line below the header (first argument) are units.
        max_unreadable: share of the lines.

    Raises:
        RefusedError: the file is missing or no text, has no header, or a larger share of its lines cannot be split
            into the fields of the header.
    """
    numbered = [(i, line) for i, line in enumerate(_LINE_END.split(_read_text(path)), 1) if line.strip()]
    header_at, delimiter = _find_header(path, numbered, is_header)
    header_line, text = numbered[header_at]
    header = _header_cells(text, delimiter)
    below = [(line, text) for line, text in numbered[header_at + 1 :] if not text.startswith(COMMENT)]
    rows = [_cells(text, delimiter, len(header)) for _, text in below]
    lines = [line for line, _ in below]
    units, unit_line = None, None
    if rows and rows[0] and is_unit_row(header, rows[0]):
        units, unit_line, rows, lines = tuple(rows[0]), lines[0], rows[1:], lines[1:]
    bad = [line for line, row in zip(lines, rows, strict=True) if row is None]
    if len(bad) > max_unreadable * len(rows):
        message = (
            f"{len(bad)} of {len(rows)} lines cannot be split into the {len(header)} fields of the header; numbers "
            "with a decimal comma need quotes, or another delimiter: semicolon, tab or |"
        )
        raise RefusedError(path, Refusal(RefusalCode.FIELD_COUNT, message, bad[0]))
    return TextTable(header, header_line, units, unit_line, rows, lines)


def _read_text(path: Path) -> str:
    def refused(problem: str) -> RefusedError:
        return RefusedError(path, Refusal(RefusalCode.UNREADABLE, problem))

    try:
        if path.stat().st_size > MAX_BYTES:
            raise refused(f"larger than {MAX_BYTES:,} bytes; split it")
        content = path.read_bytes()
    except FileNotFoundError:
        raise refused("the file does not exist") from None
    except OSError as error:
        raise refused(f"cannot be read: {error.strerror}") from None
    for magic, kind in _BINARY:
        if content.startswith(magic):
            raise refused(f"this is {kind}; extract it, or save it as CSV")
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if content.startswith(mark):
            return content.removeprefix(mark).decode(encoding, "replace")
    start = content[:4096]
    if start.count(0) * 5 > len(start):
        raise refused("not a text file, or UTF-16 without byte order mark; save it as UTF-8")
    try:
        return content.decode()
    except UnicodeDecodeError:
        # Digits are the same in all single-byte encodings, and only `°` matters in names and units. Line by line, so
        # that a damaged byte changes no other line.
        return "\n".join(map(_decode_line, re.split(rb"\r\n|\n|\r", content)))


def _decode_line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def _find_header(
    path: Path, numbered: Sequence[tuple[int, str]], is_header: Callable[[Sequence[str]], bool]
) -> tuple[int, str]:
    """Return the position of the header in `numbered`, and the delimiter."""
    for at, (_, text) in enumerate(numbered[:MAX_PREAMBLE]):
        for delimiter in DELIMITERS:
            if is_header(_header_cells(text, delimiter)):
                return at, delimiter
    if not numbered:
        raise RefusedError(path, Refusal(RefusalCode.NO_HEADER, "the file is empty"))
    line, first = numbered[0]
    message = (
        f"no line names a time column and a variable, such as `time (UTC),temperature (°C)`; the file begins with "
        f"{first[:200]!r}"
    )
    raise RefusedError(path, Refusal(RefusalCode.NO_HEADER, message, line))


def _header_cells(text: str, delimiter: str) -> tuple[str, ...]:
    cells = _split(text.lstrip(COMMENT), delimiter) or []
    while cells and not cells[-1]:
        cells.pop()
    return tuple(cells)


def _cells(text: str, delimiter: str, count: int) -> list[str] | None:
    """Return the cells of a line, without empty ones at the end that the header does not have; None if not `count`."""
    cells = _split(text, delimiter)
    while cells and len(cells) > count and not cells[-1]:
        cells.pop()
    return cells if cells and len(cells) == count else None


def _split(text: str, delimiter: str) -> list[str] | None:
    if "\0" in text:
        return None
    if '"' not in text:
        return [cell.strip() for cell in text.split(delimiter)]
    try:
        [cells] = csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True)
    except (csv.Error, ValueError):
        return None
    return [cell.strip() for cell in cells]
