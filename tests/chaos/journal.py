"""The journal of a load: what the broker acknowledged, and what it may or may not have stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A sent message. `key` and `value` are UTF-8 text; partition and offset are None if the outcome is unknown."""

    topic: str
    key: str
    value: str
    partition: int | None = None
    offset: int | None = None

    @property
    def acknowledged(self) -> bool:
        return self.offset is not None


class Journal:
    """Appends entries to a file, one JSON object per line, each written at once."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, entry: Entry) -> None:
        self._file.write(json.dumps(asdict(entry)) + "\n")

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> Iterator[Entry]:
    """The entries of a journal, in the order in which their outcomes became known."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Entry(**json.loads(line))
