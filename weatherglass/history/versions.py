"""Versions of the prepared history: the history folder is a symbolic link to one of them.

`<state>/history` -> `history.versions/<name>`. A new version is written under a hidden name and renamed when it is
complete; then the link is replaced by an atomic rename. A reader therefore always finds a complete history, old or new,
even if a writer is killed. The previous version is kept for processes that are still reading it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

KEPT = 2


@contextmanager
def new_version(history: Path, name: str) -> Iterator[Path]:
    """Provide an empty folder to write to; on success `history` points to it, after an error it is removed."""
    versions = history.with_name(f"{history.name}.versions")
    versions.mkdir(parents=True, exist_ok=True)
    for abandoned in versions.glob(".*"):  # left by a writer that was killed
        shutil.rmtree(abandoned, ignore_errors=True)
    unfinished = versions / f".{name}"
    unfinished.mkdir()
    try:
        yield unfinished
        complete = next(path for path in map(versions.joinpath, _names(name)) if not path.exists())
        unfinished.rename(complete)
        _replace_link(history, complete)
        _remove_old(versions, complete)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _names(name: str) -> Iterator[str]:
    """Yield the name, then numbered ones: an existing version is never overwritten."""
    yield name
    yield from (f"{name}.{number}" for number in count(2))


def _replace_link(history: Path, version: Path) -> None:
    if history.is_dir() and not history.is_symlink():  # a folder instead of a link
        history.rename(version.with_name("first"))
    link = version.parent / ".link"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(version.parent.name) / version.name)
    link.replace(history)


def _remove_old(versions: Path, current: Path) -> None:
    """Keep the current version and the latest of the others."""
    others = sorted((path for path in versions.iterdir() if path != current), key=lambda path: path.stat().st_mtime)
    for old in others[: -(KEPT - 1)]:
        shutil.rmtree(old, ignore_errors=True)
