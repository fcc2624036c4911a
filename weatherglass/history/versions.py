"""The history folder is a link to one of several versions beside it, so that it changes in one step.

`<state>/history` -> `history.versions/<name>`. A new version is written under a hidden name, renamed when it is whole,
and the link is replaced by one rename, which is atomic: whoever reads at any moment, and whenever a writer is killed,
finds the old history whole or the new one whole. The version before stays, for those who are reading it.
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
    """An empty folder to write to; at the end it is what `history` means. After an error nothing of it stays."""
    versions = history.with_name(f"{history.name}.versions")
    versions.mkdir(parents=True, exist_ok=True)
    for abandoned in versions.glob(".*"):  # of a writer that was killed
        shutil.rmtree(abandoned, ignore_errors=True)
    unfinished = versions / f".{name}"
    unfinished.mkdir()
    try:
        yield unfinished
        whole = next(path for path in map(versions.joinpath, _names(name)) if not path.exists())
        unfinished.rename(whole)
        _point(history, whole)
        _forget(versions, whole)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _names(name: str) -> Iterator[str]:
    """The name, then numbered ones: a version that somebody reads is never written over."""
    yield name
    yield from (f"{name}.{number}" for number in count(2))


def _point(history: Path, version: Path) -> None:
    if history.is_dir() and not history.is_symlink():  # a folder of the time before versions
        history.rename(version.with_name("first"))
    link = version.parent / ".link"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(version.parent.name) / version.name)
    link.replace(history)


def _forget(versions: Path, current: Path) -> None:
    """Keep the current version and the newest of the others."""
    others = sorted((one for one in versions.iterdir() if one != current), key=lambda one: one.stat().st_mtime)
    for old in others[: -(KEPT - 1)]:
        shutil.rmtree(old, ignore_errors=True)
