"""Files that are replaced in one step: a reader sees the old content or the new content, never a part of it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary path in the same folder, which replaces `file` when the block ends without an exception.

    The temporary name is hidden and random: containers and threads share process ids.
    """
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(file: Path, content: str | bytes, *, private: bool = False, durable: bool = False) -> None:
    """Replace a file's content in one step.

    Args:
        content: text is written as UTF-8.
        private: only the owner may read and write the file, from its creation on.
        durable: the content is on the disk before it replaces the old one.
    """
    with replacing(file) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb") as output:
            output.write(content.encode() if isinstance(content, str) else content)
            if durable:
                output.flush()
                os.fsync(output.fileno())
