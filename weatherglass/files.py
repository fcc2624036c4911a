"""Files that hold state: replaced in one step, on the disk when the call returns, and checked when they are read.

A reader sees the old content or the new content, never a part of it, also after a power failure and with a full disk.
A file that is damaged in spite of that, by the disk, a copy or a user, is named together with the remedy.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class DamagedFileError(ValueError):
    """A file does not have the content that was written to it: it is empty, incomplete, or was changed.

    Attributes:
        file: the damaged file.
        remedy: what to do, and what is lost by that.
    """

    def __init__(self, file: Path, finding: str, remedy: str):
        super().__init__(f"{file} is damaged: {finding}. {remedy}")
        self.file = file
        self.remedy = remedy


@contextmanager
def exclusive_lock(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock that one process and thread has at a time; the others wait. It ends with the block or the process.

    Args:
        file: identifies the lock; it is created, with its folder, and stays.
        wait: wait while another one holds it.

    Raises:
        BlockingIOError: another one holds it, and `wait` is False.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


@contextmanager
def replacing(file: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path in the same folder, which replaces `file` when the block ends without an exception.

    The temporary name is hidden and random: containers and threads share process ids.

    Args:
        durable: the content, and then its new name, are on the disk when the block has ended.

    Raises:
        OSError: the content could not be written, for example because the disk is full; `file` is unchanged.
    """
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(file)
        if durable:
            sync(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(file: Path, content: str | bytes, *, private: bool = False, durable: bool = True) -> None:
    """Replace a file's content in one step.

    Args:
        content: text is written as UTF-8.
        private: only the owner may read and write the file, from its creation on.
        durable: as in `replacing`; False only for a file that is written again within seconds and whose loss or damage
            its readers ignore.

    Raises:
        OSError: as in `replacing`.
    """
    with replacing(file, durable=durable) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb") as output:
            output.write(content.encode() if isinstance(content, str) else content)


def sync(path: Path) -> None:
    """Return when the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some network file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Return when all files below a folder are on the disk; to be called before the folder gets its final name."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(folder)


def file_digest(file: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a file in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, algorithm).hexdigest()


def read_json(file: Path, parse: Callable[[Any], T], remedy: str) -> T:
    """Read a JSON file.

    Args:
        parse: makes the result from the decoded JSON. Its ValueError, TypeError, AttributeError and LookupError mean
            that the content is not what was written.
        remedy: see `DamagedFileError`.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: the file is empty, is not JSON, or `parse` does not accept its content.
    """
    content = file.read_bytes()
    if not content.strip(b" \t\r\n\0"):
        raise DamagedFileError(file, "it is empty", remedy)
    try:
        return parse(json.loads(content))
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        finding = f"its content is not what was written ({type(error).__name__}: {error})"
        raise DamagedFileError(file, finding, remedy) from error
