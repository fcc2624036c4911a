"""Checks the checkpoint of the features job before Spark reads it.

A damaged checkpoint, or one of a newer version, stops the job with instructions; it is never ignored. A checkpoint of
an older format is migrated (`checkpoint_migration`).
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from weatherglass.files import write_atomically

FORMAT = 2
"""Format of the state in the checkpoint; incremented when the state of the previous format can no longer be read."""

DAMAGE_SIGNS = (
    "checksum", "EOFException", "CANNOT_LOAD_STATE_STORE", "CANNOT_READ", "STATE_STORE", "FileNotFoundException",
)  # fmt: skip
"""Fragments of Spark's error messages that indicate an incomplete or missing file of the checkpoint."""

LOG_ENTRY_LINES = {"offsets": 2, "commits": 1}
"""Lines after the version in an entry of each log."""


class Remedy(StrEnum):
    """What the user has to do about a `CheckpointError`."""

    RESET = "reset"
    """Move the checkpoint away; the job then rebuilds its state from `weather-raw`."""
    REMOVE_ENTRY = "remove_entry"
    """Remove one entry of a log; Spark then repeats that batch."""
    MOVE_OLD_COPY = "move_old_copy"
    """Move away a folder left by an earlier migration."""


class CheckpointError(RuntimeError):
    """The checkpoint cannot be used. The message names the file and what to do."""

    def __init__(self, message: str, remedy: Remedy):
        super().__init__(message)
        self.remedy = remedy


def check_checkpoint(checkpoint: Path, queries: list[str]) -> None:
    """Check format and completeness of a checkpoint; an empty one is marked with the current format.

    Raises:
        CheckpointError: it was written by a newer version, or a file is incomplete or missing.
    """
    checkpoint.mkdir(parents=True, exist_ok=True)
    if not any(checkpoint.iterdir()):
        write_format(checkpoint)
    present = read_format(checkpoint)["format"]
    if not isinstance(present, int) or present > FORMAT:
        raise CheckpointError(
            f"The checkpoint {checkpoint} has format {present}; this version reads formats up to {FORMAT}. Use the "
            f"version that wrote it, or discard its state. {_reset_hint(checkpoint)}",
            Remedy.RESET,
        )
    for query in queries:
        _check_query(checkpoint, checkpoint / query)


def is_older_format(checkpoint: Path) -> bool:
    """Whether a checkpoint that passed the check has an older format."""
    return bool(read_format(checkpoint)["format"] != FORMAT)


def write_format(checkpoint: Path, **more: Any) -> None:
    """Mark the checkpoint with the current format, and other values, atomically."""
    write_atomically(checkpoint / "format.json", json.dumps({"format": FORMAT, **more}))


def read_format(checkpoint: Path) -> dict[str, Any]:
    """The `format` of the checkpoint, and the other values written with it. Without a file the format is 1."""
    file = checkpoint / "format.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {"format": content["format"], **content}
    except FileNotFoundError:
        return {"format": 1}
    except (ValueError, KeyError, TypeError):
        return {"format": f"unknown ({file} is incomplete)"}


def indicates_damage(error: str) -> bool:
    """Whether the error of a query indicates a damaged file of the checkpoint."""
    return any(sign in error for sign in DAMAGE_SIGNS)


def damage_message(checkpoint: Path) -> str:
    """A message that the checkpoint is damaged, with instructions."""
    return f"The checkpoint {checkpoint} is damaged. {_reset_hint(checkpoint)}"


def _reset_hint(checkpoint: Path) -> str:
    return (
        f"To start with an empty state, move {checkpoint} away. The job then reads weather-raw from the beginning (its "
        "retention is 7 days) and publishes every window again, which is harmless: the last record of a window counts."
    )


def _check_query(checkpoint: Path, query: Path) -> None:
    offsets, commits = _numbers(query / "offsets"), _numbers(query / "commits")
    if commits and (not offsets or offsets[-1] < commits[-1]):
        raise CheckpointError(
            f"{query / 'offsets'} lacks batch {commits[-1]}, which {query / 'commits'} has. "
            f"{damage_message(checkpoint)}",
            Remedy.RESET,
        )
    for folder, numbers in ((query / "offsets", offsets), (query / "commits", commits)):
        for number in numbers:
            if not _is_complete(folder / str(number)):
                raise _incomplete_entry(folder, number, commits[-1] if commits else -1, checkpoint)


def _incomplete_entry(folder: Path, number: int, committed: int, checkpoint: Path) -> CheckpointError:
    file = folder / str(number)
    finding = f"{file} is incomplete ({file.stat().st_size} bytes)."
    if number > committed or (number == committed and folder.name == "commits"):
        batch = f"It records only the end of batch {number}" if folder.name == "commits" else f"Batch {number} is open"
        entry = f"{file} and {folder / f'.{number}.crc'}"
        return CheckpointError(f"{finding} {batch}: remove {entry}, and Spark repeats it.", Remedy.REMOVE_ENTRY)
    return CheckpointError(f"{finding} {damage_message(checkpoint)}", Remedy.RESET)


def _numbers(folder: Path) -> list[int]:
    return sorted(int(file.name) for file in folder.glob("[0-9]*") if file.name.isdigit())


def _is_complete(entry: Path) -> bool:
    """Whether an entry has a version and its lines of JSON: one in `commits`, batch and source in `offsets`."""
    version, *lines = entry.read_bytes().split(b"\n")
    try:
        parsed = [json.loads(line) for line in lines]
    except ValueError:
        return False
    return version == b"v1" and len(parsed) >= LOG_ENTRY_LINES[entry.parent.name]
