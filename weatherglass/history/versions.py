"""Versions of the prepared history: the history folder is a symbolic link to one of them.

`<state>/history` -> `history.versions/<name>`. A new version is written under a hidden name and renamed when it is
complete; then the link is replaced by an atomic rename. A reader therefore always finds a complete history, old or new,
even if a writer is killed or the power fails. The previous version is kept for processes that are still reading it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from weatherglass.files import sync, sync_tree


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
        sync_tree(unfinished)
        unfinished.rename(complete)
        previous = _replace_link(history, complete)
        for old in versions.iterdir():
            if old.name not in (complete.name, previous):
                shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _names(name: str) -> Iterator[str]:
    """Yield the name, then numbered ones: an existing version is never overwritten."""
    yield name
    yield from (f"{name}.{number}" for number in count(2))


def _replace_link(history: Path, version: Path) -> str | None:
    """Point the history to a version; return the name of the version before, if there is one."""
    previous = history.readlink().name if history.is_symlink() else None
    if previous is None and history.is_dir():  # a folder instead of a link
        previous = history.rename(version.with_name("first")).name
    link = version.parent / ".link"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(version.parent.name) / version.name)
    sync(version.parent)
    link.replace(history)
    sync(history.parent)
    return previous
