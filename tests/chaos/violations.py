"""What the checker finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.log_reader import StoredRecord


class Kind(StrEnum):
    LOST = "lost"
    """Something that must exist does not: an acknowledged message, its result, or a prediction."""
    DUPLICATED = "duplicated"
    """Something exists twice, or an observation is in more than one of windows, rejected and late."""
    PARTIAL = "partial"
    """Something of a transaction is visible and something else is not."""
    WRONG_WINDOW = "wrong_window"
    """The last record of a window differs from the oracle, is missing, or should not exist."""
    UNEXPLAINED = "unexplained"
    """A record exists without the record that it results from."""
    STORE_DIFFERS = "store_differs"


@dataclass(frozen=True)
class Violation:
    """One finding. Fields that do not apply are empty or None; `time` is text in ISO 8601."""

    kind: Kind
    topic: str
    detail: str
    partition: int | None = None
    offset: int | None = None
    station: str = ""
    time: str = ""


def at(record: StoredRecord, kind: Kind, detail: str, station: str = "", time: str = "") -> Violation:
    """A violation at the position of a record."""
    return Violation(kind, record.topic, detail, record.partition, record.offset, station, time)


def counts(violations: Iterable[Violation]) -> dict[str, int]:
    """The number of violations of every kind, also of those that did not occur."""
    found = Counter(violation.kind for violation in violations)
    return {kind.value: found[kind] for kind in Kind}
