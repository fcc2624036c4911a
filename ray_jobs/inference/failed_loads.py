"""Decides what a failure to load a model means: its files are unavailable for a while, or they are damaged.

A folder that is missing, unmounted or not readable, and a file that is being written, say nothing about the model: the
load is repeated. Only files that can be read, do not change, and are still wrong after `CONFIRMATION_SECONDS` count as
damaged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weatherglass.registry.registry import ModelVersion

CONFIRMATION_SECONDS = 20.0
"""How long the same files must be wrong before they count as damaged. Longer than a copy pauses between two blocks."""
FIRST_RETRY_SECONDS = 3.0
MAX_RETRY_SECONDS = 30.0
"""The delay doubles from the first to this, because checking a large model reads all its files."""

FolderState = frozenset[tuple[str, int, int, int]]
"""Name, inode, size and time of the last change of each file of a folder."""


@dataclass
class FailedLoad:
    """The last failed attempts to load a version.

    Attributes:
        state: the files at the first of these attempts; None if they could not be listed or read.
        since: time of the first attempt with these files.
        retry_at: time of the next attempt.
    """

    reason: str
    state: FolderState | None
    since: float
    delay: float
    retry_at: float
    damaged: bool = False


class FailedLoads:
    """The versions that could not be loaded.

    Args:
        clock: seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._failed: dict[tuple[str, str], FailedLoad] = {}
        """(model kind, version) -> failure; until the version is loaded or damaged."""

    def is_due(self, version: ModelVersion) -> bool:
        """Whether to try to load a version now."""
        failed = self._failed.get((version.kind, version.version))
        return failed is None or self._clock() >= failed.retry_at

    def record(self, version: ModelVersion, error: Exception) -> FailedLoad:
        """Record a failed attempt; `damaged` of the result says whether the files are damaged."""
        now, state = self._clock(), _state(version.folder, error)
        last = self._failed.get((version.kind, version.version))
        reason = str(error) or repr(error)
        if last is None or last.state != state:
            failed = FailedLoad(reason, state, now, FIRST_RETRY_SECONDS, now + FIRST_RETRY_SECONDS)
        else:
            delay = min(2 * last.delay, MAX_RETRY_SECONDS)
            confirmed = state is not None and now - last.since >= CONFIRMATION_SECONDS
            failed = FailedLoad(reason, state, last.since, delay, now + delay, confirmed)
        self._failed[version.kind, version.version] = failed
        return failed

    def forget(self, version: ModelVersion) -> None:
        """Forget a version that was loaded or rejected."""
        self._failed.pop((version.kind, version.version), None)

    def reason(self, version: ModelVersion) -> str | None:
        """Why the last attempt failed; None if it did not, or if there was none."""
        failed = self._failed.get((version.kind, version.version))
        return failed.reason if failed else None


def _state(folder: Path, error: Exception) -> FolderState | None:
    """The files of a folder; None if they are unavailable: not listed, none, or the error is one of the system."""
    if any(_is_of_system(cause) for cause in _causes(error)):
        return None
    try:
        files = [(path.name, path.stat()) for path in folder.iterdir()]
    except OSError:
        return None
    return frozenset((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in files) or None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those that caused it, also behind `raise … from None`."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _is_of_system(error: BaseException) -> bool:
    """Whether an error says nothing about the files; one that is missing in an existing folder is damage."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and not isinstance(error, FileNotFoundError))
