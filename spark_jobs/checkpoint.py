"""Whether the checkpoint can be trusted. A damaged or foreign one is never passed over: the job says what to do.

One of an older format is taken over (`takeover`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from weatherglass.files import write_atomically

FORMAT = 2
"""Of the state in the checkpoint; a higher number where the state of the one before can no longer be read."""

DAMAGE = ("checksum", "EOFException", "CANNOT_LOAD_STATE_STORE", "CANNOT_READ", "STATE_STORE", "FileNotFoundException")
"""What Spark's errors speak of when a file of the checkpoint is torn or missing."""

ENTRIES = {"offsets": 2, "commits": 1}
"""Lines after the version in an entry of each log."""


class CheckpointError(RuntimeError):
    """The checkpoint cannot be used; the message names the file and what to do."""


def check(checkpoint: Path, queries: list[str]) -> None:
    """Look at the checkpoint before Spark does, and note its format if it is new.

    Raises:
        CheckpointError: it is of a newer version, or a file of it is torn or missing.
    """
    checkpoint.mkdir(parents=True, exist_ok=True)
    if not any(checkpoint.iterdir()):
        note_format(checkpoint)
    found = format_of(checkpoint)["format"]
    if not isinstance(found, int) or found > FORMAT:
        raise CheckpointError(
            f"the checkpoint {checkpoint} has format {found}, this version reads formats up to {FORMAT}: go back to "
            f"the version that made it, or take over without its state. {_afresh(checkpoint)}"
        )
    for query in queries:
        _check(checkpoint, checkpoint / query)


def is_older(checkpoint: Path) -> bool:
    """Whether a checkpoint, once checked, is of an older format."""
    return bool(format_of(checkpoint)["format"] != FORMAT)


def note_format(checkpoint: Path, **more: Any) -> None:
    """Note that the checkpoint is of this version's format, in one step."""
    write_atomically(checkpoint / "format.json", json.dumps({"format": FORMAT, **more}), durable=True)


def damages(error: str) -> bool:
    """Whether a query's error speaks of a file of the checkpoint."""
    return any(sign in error for sign in DAMAGE)


def damaged(checkpoint: Path) -> str:
    return f"the checkpoint {checkpoint} is damaged. {_afresh(checkpoint)}"


def _afresh(checkpoint: Path) -> str:
    return (
        f"To start afresh, move {checkpoint} away: weather-raw is then read from its beginning (it keeps 7 days) and "
        "every window is written again, which is harmless, since the last record of a window counts."
    )


def format_of(checkpoint: Path) -> dict[str, Any]:
    """What is noted of the checkpoint: its `format`, and where it took over from an older one, if it did."""
    mark = checkpoint / "format.json"
    try:
        noted = json.loads(mark.read_text(encoding="utf-8"))
        return {"format": noted["format"], **noted}
    except FileNotFoundError:
        return {"format": 1}
    except (ValueError, KeyError, TypeError):
        return {"format": f"unknown ({mark} is torn)"}


def _check(checkpoint: Path, query: Path) -> None:
    offsets, commits = _numbers(query / "offsets"), _numbers(query / "commits")
    if commits and (not offsets or offsets[-1] < commits[-1]):
        raise CheckpointError(
            f"{query / 'offsets'} lacks batch {commits[-1]}, which {query / 'commits'} has. {damaged(checkpoint)}"
        )
    for folder, numbers in ((query / "offsets", offsets), (query / "commits", commits)):
        for number in numbers:
            if not _is_whole(folder / str(number)):
                raise CheckpointError(_torn(folder, number, commits[-1] if commits else -1, checkpoint))


def _torn(folder: Path, number: int, committed: int, checkpoint: Path) -> str:
    file = folder / str(number)
    said = f"{file} is torn ({file.stat().st_size} bytes)."
    if number >= committed:
        entries = f"{file} and {folder / f'.{number}.crc'}"
        if folder.name == "commits":
            return f"{said} It only says that batch {number} ended: remove {entries}, and the batch is done once more."
        if number > committed:
            return f"{said} Its batch {number} never ended: remove {entries}, and the batch is planned anew."
    return f"{said} {damaged(checkpoint)}"


def _numbers(folder: Path) -> list[int]:
    return sorted(int(file.name) for file in folder.glob("[0-9]*") if file.name.isdigit())


def _is_whole(entry: Path) -> bool:
    """A version, then lines of JSON: one in the log of commits, the batch's own and the source's in that of offsets."""
    version, *lines = entry.read_bytes().split(b"\n")
    try:
        whole = [json.loads(line) for line in lines]
    except ValueError:
        return False
    return version == b"v1" and len(whole) >= ENTRIES[entry.parent.name]
