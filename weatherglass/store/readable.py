"""Rows that older versions or other programs wrote: what cannot be read is missing, and logged once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar

from weatherglass.record_headers import Origin

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


def read_row(row: R, build: Callable[[R], T]) -> T | None:
    """The result of `build`; None if a value or document of the row is not what `build` expects."""
    try:
        return build(row)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        names = ("station_id", "timestamp")
        _log_once(build.__qualname__, str([getattr(row, name, None) for name in names]), repr(error)[:500])
        return None


def read_rows(rows: Iterable[R], build: Callable[[R], T]) -> list[T]:
    """The results of `build`, without the rows that cannot be read."""
    return [built for row in rows if (built := read_row(row, build)) is not None]


def stored_origin(text: str | None) -> Origin | None:
    """The source of a row; None if it is missing or unknown."""
    return Origin(text) if text in set(Origin) else None


@lru_cache(maxsize=1_000)
def _log_once(reader: str, row: str, error: str) -> None:
    """Pages request the same rows every few seconds."""
    log.warning("Ignoring a row that cannot be read: %s of %s: %s", reader, row, error)
