"""A small file system in memory, and a file that fills it."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 1 << 20


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[bool]:
    """Mount a tmpfs of this size on a folder; yields False without the right to do so."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)]
    try:
        is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> int:
    """Write to a file until its file system is full; returns the size in bytes. Deleting the file ends the fault."""
    size = 0
    with file.open("wb", buffering=0) as output:
        for chunk in (CHUNK, 4096, 1):
            try:
                while True:
                    size += output.write(bytes(chunk))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return size
