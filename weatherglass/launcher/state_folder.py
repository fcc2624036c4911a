"""The state folder: its format, and the lock that allows one launcher at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from weatherglass.files import read_json, write_atomically
from weatherglass.launcher.errors import StateFolderError
from weatherglass.settings import Settings
from weatherglass.settings_errors import variable

FORMAT = 2
"""1 was the layout of Weatherglass 0.1.0, which did not write the format file."""
FORMAT_FILE = "state.json"
LOCK_FILE = "launcher.lock"
LOCK_FILE_OF_FORMAT_1 = "stack.lock"


def check_format(settings: Settings) -> None:
    """Create the state folder, or check that it has the present format.

    Raises:
        StateFolderError: the folder has another format.
        DamagedFileError: the file with the format is damaged.
    """
    folder = settings.state_dir
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FORMAT_FILE
    if file.exists():
        remedy = f"If version 0.2 or newer has used {folder} last, remove the file: the next start creates it again"
        found = read_json(file, lambda content: int(content["format"]), remedy)
    else:
        found = 1 if (folder / LOCK_FILE_OF_FORMAT_1).exists() else FORMAT
    if found != FORMAT:
        raise StateFolderError(
            f"The state folder {folder} has format {found}; this version needs format {FORMAT} and cannot convert it.\n"
            f"Move the folder away, or set {variable('state_dir')} to another folder."
        )
    if not file.exists():
        write_atomically(file, json.dumps({"format": FORMAT}))


@contextmanager
def launcher_lock(settings: Settings) -> Iterator[bool]:
    """Hold the lock of the state folder; yields False if another launcher holds it."""
    lock = os.open(settings.state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)
