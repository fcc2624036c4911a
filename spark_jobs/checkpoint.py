"""Checks the checkpoint of the features job before Spark reads it, and explains Spark's errors about damaged files.

A damaged checkpoint, or one of a newer version, stops the job with instructions; it is never ignored. Only the file
with the id of a query is repaired, because the id has no meaning for the state. A checkpoint of an older format is
migrated (`checkpoint_migration`).
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from spark_jobs.batches import Offsets
from spark_jobs.checkpoint_checksums import checksum_file, damaged_files
from weatherglass.files import DamagedFileError, read_json, write_atomically
from weatherglass.settings_errors import variable

log = logging.getLogger(__name__)

FORMAT = 3
"""Format of the state in the checkpoint; incremented when the state of the previous format can no longer be read."""

DAMAGE_SIGNS = (
    "checksum", "eofexception", "cannot_load_state_store", "cannot_read", "state_store", "filenotfoundexception",
    "stds_failed_to_read",
)  # fmt: skip
"""Fragments of Spark's error messages, in lower case, that indicate an incomplete or missing file of the checkpoint."""

LOG_ENTRY_LINES = {"offsets": 2, "commits": 1}
"""Lines after the version in an entry of each log."""


class Remedy(StrEnum):
    """What the user has to do about a `CheckpointError`."""

    RESET = "reset"
    """Move the checkpoint away; the job then rebuilds its state from `weather-raw`."""
    REMOVE_ENTRY = "remove_entry"
    """Remove one entry of a log; Spark then repeats that batch."""
    REMOVE_CHECKSUM = "remove_checksum"
    """Remove a damaged checksum file; Spark then reads the file without a check."""
    MOVE_OLD_COPY = "move_old_copy"
    """Move away a folder left by an earlier migration."""
    SET_PREFIX = "set_prefix"
    """Set the topic prefix with which the checkpoint was written."""


class CheckpointError(RuntimeError):
    """The checkpoint cannot be used. The message names the files and what to do.

    Attributes:
        remedy: what to do.
        files: the damaged files, as far as they are known.
    """

    def __init__(self, message: str, remedy: Remedy, files: Sequence[Path] = ()):
        super().__init__(message)
        self.remedy = remedy
        self.files = tuple(files)


def check_checkpoint(checkpoint: Path, queries: list[str]) -> None:
    """Check format and completeness of a checkpoint; an empty one is marked with the current format.

    The id of a query is replaced if its file is damaged.

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
            [checkpoint / "format.json"],
        )
    for query in queries:
        _check_query(checkpoint, checkpoint / query)


def check_topic(checkpoint: Path, offsets: Offsets, topic: str) -> None:
    """Check that the checkpoint belongs to a topic.

    Raises:
        CheckpointError: it belongs to another one, because the prefix of the topics was changed.
    """
    if topic not in offsets:
        raise CheckpointError(
            f"The checkpoint {checkpoint} has offsets of {', '.join(offsets)}, not of {topic}: set "
            f"{variable('topic_prefix')} to the prefix with which it was written, or use another state folder",
            Remedy.SET_PREFIX,
        )


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
        return read_json(file, lambda content: {"format": content["format"], **content}, _reset_hint(checkpoint))
    except FileNotFoundError:
        return {"format": 1}
    except DamagedFileError:
        return {"format": f"unknown ({file} is damaged)"}


def indicates_damage(error: str) -> bool:
    """Whether the error of a query indicates a damaged file of the checkpoint."""
    return any(sign in error.lower() for sign in DAMAGE_SIGNS)


def damage_error(checkpoint: Path, cause: str, folder: Path | None = None) -> CheckpointError:
    """The error for a query that failed because of a damaged file; names the files that do not match their checksums.

    Args:
        cause: Spark's message, which often does not name the file.
        folder: where to look for damaged files; by default in the complete checkpoint.
    """
    files = damaged_files(folder or checkpoint)
    checksums = [file for file in files if file.suffix == ".crc"]
    if files and files == checksums:
        names = " and ".join(map(str, checksums))
        return CheckpointError(f"Remove {names}, which is damaged: {cause}", Remedy.REMOVE_CHECKSUM, checksums)
    names = "".join(f"{file} is damaged. " for file in files if file not in checksums)
    return CheckpointError(f"{names}{_damage_message(checkpoint)} {cause}", Remedy.RESET, files)


def _damage_message(checkpoint: Path) -> str:
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
            f"{_damage_message(checkpoint)}",
            Remedy.RESET,
            [query / "offsets"],
        )
    for folder, numbers in ((query / "offsets", offsets), (query / "commits", commits)):
        for number in numbers:
            if not _is_complete(folder / str(number)):
                raise _incomplete_entry(folder, number, commits[-1] if commits else -1, checkpoint)
    for file in query.glob("state/*/_metadata/*/[0-9]*"):
        if not _is_json_log(file, 1):
            finding = f"{file} is incomplete ({file.stat().st_size} bytes)."
            raise CheckpointError(f"{finding} {_damage_message(checkpoint)}", Remedy.RESET, [file])
    for folder in query.glob("state/*/_stateSchema"):
        if damaged_files(folder):
            raise damage_error(checkpoint, "Spark cannot read the schema of the state", folder)
    if offsets:
        _repair_id(query / "metadata")


def _repair_id(file: Path) -> None:
    """Write a new id of the query if the file is damaged. It only identifies the query in Spark's own events."""
    try:
        read_json(file, lambda content: uuid.UUID(content["id"]), "")
    except (FileNotFoundError, DamagedFileError) as error:
        log.warning("A new id of the query is written: %s", error)
        checksum_file(file).unlink(missing_ok=True)
        write_atomically(file, json.dumps({"id": str(uuid.uuid4())}))


def _incomplete_entry(folder: Path, number: int, committed: int, checkpoint: Path) -> CheckpointError:
    file = folder / str(number)
    finding = f"{file} is incomplete ({file.stat().st_size} bytes)."
    if number > committed or (number == committed and folder.name == "commits"):
        batch = f"It records only the end of batch {number}" if folder.name == "commits" else f"Batch {number} is open"
        entry = f"{file} and {checksum_file(file)}"
        return CheckpointError(f"{finding} {batch}: remove {entry}, and Spark repeats it.", Remedy.REMOVE_ENTRY, [file])
    return CheckpointError(f"{finding} {_damage_message(checkpoint)}", Remedy.RESET, [file])


def _numbers(folder: Path) -> list[int]:
    return sorted(int(file.name) for file in folder.glob("[0-9]*") if file.name.isdigit())


def _is_complete(entry: Path) -> bool:
    """Whether an entry has a version and its lines of JSON: one in `commits`, batch and source in `offsets`."""
    return _is_json_log(entry, LOG_ENTRY_LINES[entry.parent.name], version=b"v1")


def _is_json_log(file: Path, lines: int, version: bytes | None = None) -> bool:
    """Whether a file has a version in its first line, then at least so many lines of JSON and nothing else."""
    present, *others = file.read_bytes().split(b"\n")
    try:
        parsed = [json.loads(line) for line in others]
    except ValueError:
        return False
    return present.startswith(b"v") and version in (None, present) and len(parsed) >= lines
